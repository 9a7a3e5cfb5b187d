//! Bodies of a schema, made of a seed: what a type has to take that is made for it.

use std::collections::BTreeMap;

use serde_json::Value;

pub struct Maker<'s> {
    named: BTreeMap<&'s str, &'s Value>,
    seed: u64,
    body: Vec<u8>,
}

impl<'s> Maker<'s> {
    pub fn body(schema: &'s Value, seed: u64) -> Vec<u8> {
        let mut maker = Self { named: BTreeMap::new(), seed, body: Vec::new() };
        maker.learn(schema);
        maker.any(schema);
        maker.body
    }

    /// A name may come up again where the list that it is of was empty.
    fn learn(&mut self, schema: &'s Value) {
        match schema {
            Value::Array(parts) => parts.iter().for_each(|part| self.learn(part)),
            Value::Object(told) => {
                if let (Some(name), Some(_)) = (schema["name"].as_str(), schema["type"].as_str()) {
                    self.named.entry(name).or_insert(schema);
                }
                told.values().for_each(|part| self.learn(part));
            }
            _ => {}
        }
    }

    fn any(&mut self, schema: &'s Value) {
        if let Value::Array(branches) = schema {
            let branch = self.below(branches.len() as u64);
            self.long(branch);
            return self.any(&branches[branch as usize]);
        }
        let kind = match schema {
            Value::String(name) => &**name,
            Value::Object(told) if told["type"].is_string() => told["type"].as_str().expect("it is one"),
            other => return self.any(&other["type"]),
        };
        match kind {
            "null" => {}
            "boolean" => {
                let byte = self.below(2) as u8;
                self.body.push(byte);
            }
            "int" | "long" => {
                let bits = self.below(28);
                let number = self.below(1 << bits);
                self.long(number);
            }
            "float" => self.body.extend(f32::to_le_bytes(7.5)),
            "double" => {
                let number = self.below(1 << 20) as f64 / 8.0;
                self.body.extend(number.to_le_bytes());
            }
            "string" | "bytes" => {
                let length = self.below(6);
                self.long(length);
                for _ in 0..length {
                    let letter = b'a' + self.below(26) as u8;
                    self.body.push(letter);
                }
            }
            "enum" => {
                let symbols = schema["symbols"].as_array().expect("an enum has symbols").len();
                let symbol = self.below(symbols as u64);
                self.long(symbol);
            }
            "array" => self.list(&schema["items"], false),
            "map" => self.list(&schema["values"], true),
            "record" => schema["fields"]
                .as_array()
                .expect("a record has fields")
                .iter()
                .for_each(|field| self.any(&field["type"])),
            name => self.any(self.named[name]),
        }
    }

    fn list(&mut self, items: &'s Value, named: bool) {
        let count = self.below(4);
        if count > 0 {
            self.long(count);
        }
        for number in 0..count {
            if named {
                self.body.extend([2, b'a' + number as u8]);
            }
            self.any(items);
        }
        self.body.push(0);
    }

    fn long(&mut self, value: u64) {
        let mut rest = value << 1;
        while rest >= 0x80 {
            self.body.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.body.push(rest as u8);
    }

    fn below(&mut self, limit: u64) -> u64 {
        // Knuth's, whose high bits are the good ones.
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % limit
    }
}
