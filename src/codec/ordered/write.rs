//! Values into bytes, in the order in which they come.

use serde::ser::{Error as _, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

use super::Mismatch;

pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Writer<'o> {
    pub fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Zigzag, then seven bits a byte, the lowest first.
    fn long(&mut self, value: i64) {
        let mut rest = (value << 1 ^ value >> 63).cast_unsigned();
        while rest >= 0x80 {
            self.out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.out.push(rest as u8);
    }

    fn length(&mut self, length: usize) -> Result<(), Mismatch> {
        self.long(i64::try_from(length).map_err(Mismatch::custom)?);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Mismatch> {
        self.length(bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// All items in one block, and the empty one that ends it; of none that one alone.
    fn list<'a>(&'a mut self, length: Option<usize>) -> Result<List<'a, 'o>, Mismatch> {
        let left = length.ok_or_else(|| Mismatch::custom("a list that does not know its length"))?;
        if left > 0 {
            self.length(left)?;
        }
        Ok(List { writer: self, left })
    }
}

fn unfit<T>(what: &str) -> Result<T, Mismatch> {
    Err(Mismatch::custom(format!("{what} has no place in Avro")))
}

impl<'a, 'o> Serializer for &'a mut Writer<'o> {
    type Ok = ();
    type Error = Mismatch;
    type SerializeSeq = List<'a, 'o>;
    type SerializeTuple = Impossible<(), Mismatch>;
    type SerializeTupleStruct = Impossible<(), Mismatch>;
    type SerializeTupleVariant = Impossible<(), Mismatch>;
    type SerializeMap = List<'a, 'o>;
    type SerializeStruct = Fields<'a, 'o>;
    type SerializeStructVariant = Impossible<(), Mismatch>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<(), Mismatch> {
        self.out.push(u8::from(value));
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Mismatch> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Mismatch> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Mismatch> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Mismatch> {
        self.long(value);
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Mismatch> {
        self.serialize_i64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Mismatch> {
        self.serialize_i64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Mismatch> {
        self.serialize_i64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Mismatch> {
        self.serialize_i64(i64::try_from(value).map_err(Mismatch::custom)?)
    }

    fn serialize_f32(self, value: f32) -> Result<(), Mismatch> {
        self.out.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Mismatch> {
        self.out.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Mismatch> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Mismatch> {
        self.bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Mismatch> {
        self.bytes(value)
    }

    fn serialize_none(self) -> Result<(), Mismatch> {
        self.serialize_i64(0)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Mismatch> {
        self.long(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Mismatch> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Mismatch> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), Mismatch> {
        self.serialize_i64(index.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Mismatch> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Mismatch> {
        self.long(index.into());
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<List<'a, 'o>, Mismatch> {
        self.list(length)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<List<'a, 'o>, Mismatch> {
        self.list(length)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields<'a, 'o>, Mismatch> {
        Ok(Fields(self))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Mismatch> {
        unfit("a tuple")
    }

    fn serialize_tuple_struct(self, name: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Mismatch> {
        unfit(name)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Mismatch> {
        unfit(name)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Mismatch> {
        unfit(name)
    }
}

/// Items, or names and values.
pub struct List<'a, 'o> {
    writer: &'a mut Writer<'o>,
    left: usize,
}

impl List<'_, '_> {
    fn end(self) -> Result<(), Mismatch> {
        if self.left > 0 {
            return Err(Mismatch::custom("a list of fewer items than it said"));
        }
        self.writer.long(0);
        Ok(())
    }
}

impl SerializeSeq for List<'_, '_> {
    type Ok = ();
    type Error = Mismatch;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Mismatch> {
        let more = || Mismatch::custom("a list of more items than it said");
        self.left = self.left.checked_sub(1).ok_or_else(more)?;
        item.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), Mismatch> {
        self.end()
    }
}

impl SerializeMap for List<'_, '_> {
    type Ok = ();
    type Error = Mismatch;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, name: &T) -> Result<(), Mismatch> {
        SerializeSeq::serialize_element(self, name)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Mismatch> {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), Mismatch> {
        self.end()
    }
}

pub struct Fields<'a, 'o>(&'a mut Writer<'o>);

impl SerializeStruct for Fields<'_, '_> {
    type Ok = ();
    type Error = Mismatch;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), Mismatch> {
        value.serialize(&mut *self.0)
    }

    fn skip_field(&mut self, name: &'static str) -> Result<(), Mismatch> {
        Err(Mismatch::custom(format!("{name} is left out")))
    }

    fn end(self) -> Result<(), Mismatch> {
        Ok(())
    }
}
