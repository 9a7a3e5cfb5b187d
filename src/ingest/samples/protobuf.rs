//! Protobuf's wire format, field by field, from borrowed bytes: what a few messages of known field numbers need, and no more.
//!
//! Not generated code: that would own every label of every series of every request. Invariants: nothing is allocated and nothing panics,
//! whatever the bytes; the groups of protobuf 2, which none of these messages has, are malformed.

use super::Unreadable;

/// The fields of one message, in the order in which they stand.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    rest: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

const CUT_OFF: Unreadable = Unreadable::Malformed("the protobuf message is cut off");
const OTHER_TYPE: Unreadable = Unreadable::Malformed("a protobuf field is of another type");

impl<'a> Message<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn varint(&mut self) -> Result<u64, Unreadable> {
        let mut value = 0;
        for (at, &byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(CUT_OFF)
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        self.bytes(N)?.try_into().map_err(|_| CUT_OFF)
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), Unreadable> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let count = usize::try_from(self.varint()?).map_err(|_| CUT_OFF)?;
                Value::Bytes(self.bytes(count)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return Err(Unreadable::Malformed("this is no protobuf message of these fields")),
        };
        Ok((tag >> 3, value))
    }
}

impl<'a> Iterator for Message<'a> {
    type Item = Result<(u64, Value<'a>), Unreadable>;

    /// Ends after what is malformed.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Value<'a> {
    pub fn bytes(self) -> Result<&'a [u8], Unreadable> {
        if let Value::Bytes(bytes) = self { Ok(bytes) } else { Err(OTHER_TYPE) }
    }

    pub fn message(self) -> Result<Message<'a>, Unreadable> {
        self.bytes().map(Message::new)
    }

    pub fn text(self) -> Result<&'a str, Unreadable> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Unreadable::Malformed("a text of it is no UTF-8"))
    }

    pub fn uint(self) -> Result<u64, Unreadable> {
        if let Value::Varint(value) = self { Ok(value) } else { Err(OTHER_TYPE) }
    }

    pub fn int(self) -> Result<i64, Unreadable> {
        self.uint().map(u64::cast_signed)
    }

    pub fn fixed64(self) -> Result<u64, Unreadable> {
        if let Value::Fixed64(value) = self { Ok(value) } else { Err(OTHER_TYPE) }
    }

    pub fn double(self) -> Result<f64, Unreadable> {
        self.fixed64().map(f64::from_bits)
    }

    /// A repeated field of varints, packed or one of them.
    pub fn each_uint(self, mut with: impl FnMut(u64) -> Result<(), Unreadable>) -> Result<(), Unreadable> {
        let Value::Bytes(packed) = self else { return with(self.uint()?) };
        let mut packed = Message::new(packed);
        while !packed.rest.is_empty() {
            with(packed.varint()?)?;
        }
        Ok(())
    }

    /// A repeated field of eight bytes each, packed or one of them.
    pub fn each_fixed64(self, mut with: impl FnMut(u64)) -> Result<(), Unreadable> {
        let Value::Bytes(packed) = self else {
            with(self.fixed64()?);
            return Ok(());
        };
        let mut packed = Message::new(packed);
        while !packed.rest.is_empty() {
            with(u64::from_le_bytes(packed.fixed()?));
        }
        Ok(())
    }
}

/// What tests and benchmarks write, and answers are made of.
#[derive(Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    pub fn uint(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    pub fn fixed64(&mut self, field: u64, value: u64) {
        self.varint(field << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn double(&mut self, field: u64, value: f64) {
        self.fixed64(field, value.to_bits());
    }

    pub fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub fn message(&mut self, field: u64, of: impl FnOnce(&mut Writer)) {
        let mut inner = Writer::default();
        of(&mut inner);
        self.bytes(field, &inner.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_encoding_guide_are_read() {
        // Message `Test1 { a: 150 }`, `Test2 { b: "testing" }`, and the packed `Test5 { f: [3, 270, 86942] }`, as protobuf.dev has them.
        let only = |bytes: &'static [u8]| Message::new(bytes).next().unwrap().unwrap();
        assert_eq!(only(&[0x08, 0x96, 0x01]), (1, Value::Varint(150)));
        let (field, value) = only(&[0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        assert_eq!((field, value.text()), (2, Ok("testing")));
        let (field, value) = only(&[0x32, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05]);
        let mut found = Vec::new();
        let each = value.each_uint(|value| {
            found.push(value);
            Ok(())
        });
        each.unwrap();
        assert_eq!((field, found), (6, vec![3, 270, 86942]));
        assert_eq!(only(&[0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).1.int(), Ok(-2));
    }

    #[test]
    fn what_is_cut_off_or_a_group_is_malformed_and_ends() {
        for bytes in
            [&[0x08][..], &[0x12, 0x05, 1], &[0x09, 1, 2], &[0xff; 11], &[0x0b], &[0x12, 0xff, 0xff, 0xff, 0xff, 0x7f]]
        {
            let all: Vec<_> = Message::new(bytes).collect();
            assert!(all.len() == 1 && all[0].is_err(), "{bytes:?}: {all:?}");
        }
        assert!(Value::Varint(1).text().is_err() && Value::Bytes(&[0xff]).text().is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(field in 1_u64..1000, uint: u64, double: f64, bytes: Vec<u8>) {
            let mut writer = Writer::default();
            writer.uint(field, uint);
            writer.double(field, double);
            writer.message(field, |inner| inner.bytes(field, &bytes));
            let read: Vec<_> = Message::new(&writer.0).map(|all| all.unwrap()).collect();
            prop_assert_eq!(read[0], (field, Value::Varint(uint)));
            prop_assert_eq!(read[1], (field, Value::Fixed64(double.to_bits())));
            let inner = read[2].1.message().unwrap().next().unwrap().unwrap();
            prop_assert_eq!(inner, (field, Value::Bytes(&bytes)));
        }
    }
}
