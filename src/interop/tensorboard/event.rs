//! Event files of TensorBoard: protocol buffers in the framing of TFRecord.
//!
//! A record is its length as u64, the masked CRC-32C of the length, the bytes, and their masked CRC-32C, all
//! little-endian; masking is `rotate_right(crc, 15) + 0xa282ead8`. The messages are `Event`, `Summary`, `HistogramProto`
//! and `TensorProto` of `tensorboard/compat/proto/*.proto`; only the fields that are written appear here, by their numbers.

/// A protocol buffer being written.
#[derive(Clone, Debug, Default)]
struct Message(Vec<u8>);

/// How the value of a field is encoded.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Bits64 = 1,
    Bytes = 2,
    Bits32 = 5,
}

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, wire: Wire) {
        self.varint(field << 3 | wire as u64);
    }

    fn integer(mut self, field: u64, value: u64) -> Self {
        self.key(field, Wire::Varint);
        self.varint(value);
        self
    }

    fn float(mut self, field: u64, value: f32) -> Self {
        self.key(field, Wire::Bits32);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn double(mut self, field: u64, value: f64) -> Self {
        self.key(field, Wire::Bits64);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.key(field, Wire::Bytes);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn doubles(self, field: u64, values: &[f64]) -> Self {
        let packed: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.bytes(field, &packed)
    }

    fn message(self, field: u64, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }
}

/// How a tag is shown: its title and a sentence below it.
#[derive(Clone, Debug, Default)]
pub struct Caption {
    /// The title of its panel.
    pub title: String,
    /// A description in Markdown.
    pub description: String,
}

/// A histogram whose buckets end at `limits`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// The sum of all values.
    pub sum: f64,
    /// The sum of their squares.
    pub sum_squares: f64,
    /// The upper limit of each bucket, included.
    pub limits: Vec<f64>,
    /// The number of values in each bucket.
    pub counts: Vec<f64>,
}

/// What a tag shows at one step.
#[derive(Clone, Debug)]
pub enum Content {
    /// A number.
    Scalar(f64),
    /// A histogram.
    Histogram(Histogram),
    /// Texts in Markdown, one row each.
    Texts(Vec<String>),
}

/// The bytes of an event file.
#[derive(Clone, Debug)]
pub struct EventFile {
    /// Time of all events, in seconds since 1970.
    wall_time: f64,
    bytes: Vec<u8>,
}

impl EventFile {
    /// A file without values.
    pub fn new(wall_time: f64) -> Self {
        let mut file = Self { wall_time, bytes: Vec::new() };
        file.write(&file.event().bytes(3, b"brain.Event:2"));
        file
    }

    /// Adds a value at `step`.
    pub fn add(&mut self, tag: &str, step: u64, caption: &Caption, content: &Content) {
        let plugin: &[u8] = match content {
            Content::Scalar(_) => b"scalars",
            Content::Histogram(_) => b"histograms",
            Content::Texts(_) => b"text",
        };
        let metadata = Message::default().message(1, &Message::default().bytes(1, plugin));
        let metadata = match content {
            // DATA_CLASS_TENSOR; TensorBoard adds the class to the older kinds of value.
            Content::Texts(_) => metadata.integer(4, 2),
            Content::Scalar(_) | Content::Histogram(_) => metadata,
        };
        let metadata = metadata.bytes(2, caption.title.as_bytes()).bytes(3, caption.description.as_bytes());
        let value = Message::default().bytes(1, tag.as_bytes());
        let value = match content {
            Content::Scalar(number) => value.float(2, *number as f32),
            Content::Histogram(histogram) => value.message(5, &histogram.message()),
            Content::Texts(texts) => value.message(8, &strings(texts)),
        };
        let summary = Message::default().message(1, &value.message(9, &metadata));
        self.write(&self.event().integer(2, step).message(5, &summary));
    }

    /// The bytes of the file.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn event(&self) -> Message {
        Message::default().double(1, self.wall_time)
    }

    fn write(&mut self, event: &Message) {
        let length = (event.0.len() as u64).to_le_bytes();
        self.bytes.extend(length);
        self.bytes.extend(masked_crc(&length).to_le_bytes());
        self.bytes.extend(&event.0);
        self.bytes.extend(masked_crc(&event.0).to_le_bytes());
    }
}

impl Histogram {
    fn message(&self) -> Message {
        Message::default()
            .double(1, self.min)
            .double(2, self.max)
            .double(3, self.counts.iter().sum())
            .double(4, self.sum)
            .double(5, self.sum_squares)
            .doubles(6, &self.limits)
            .doubles(7, &self.counts)
    }
}

/// A tensor of one dimension whose elements are texts (DT_STRING).
fn strings(texts: &[String]) -> Message {
    let dimension = Message::default().integer(1, texts.len() as u64);
    let tensor = Message::default().integer(1, 7).message(2, &Message::default().message(2, &dimension));
    texts.iter().fold(tensor, |tensor, text| tensor.bytes(8, text.as_bytes()))
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that Python's `tensorboard.compat.proto.event_pb2.Event(wall_time=1.5, step=300, …)` serialises to, in
    /// the framing of `tensorboard.summary.writer.record_writer.RecordWriter`.
    #[test]
    fn a_scalar_has_the_bytes_that_tensorboard_itself_writes() {
        let mut file = EventFile::new(1.5);
        file.add(
            "a",
            300,
            &Caption { title: "b".to_owned(), description: "c".to_owned() },
            &Content::Scalar(2.5),
        );
        let hex: String = file.into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c2b00000000000000861bc34b09000000000000f83f10ac022a1d0a1b0a016115000020404a110a090a077363616c6172731201621a0163c8528d62"
        );
    }
}
