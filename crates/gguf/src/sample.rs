//! Makes small, valid GGUF files in memory: the seeds of the fuzzer and the food of the tests.
//!
//! In: keys and tensors. Out: bytes. Fails: never; it writes what it is told, also what is wrong.

/// A file in the making.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    keys: u64,
    key_bytes: Vec<u8>,
    tensors: u64,
    tensor_bytes: Vec<u8>,
    data: u64,
}

/// Data of tensors is aligned to this many bytes.
const ALIGNMENT: u64 = 32;

impl Sample {
    /// A file that says only what it is.
    pub fn of(architecture: &str) -> Self {
        Self::default().text("general.architecture", architecture)
    }

    /// A small llama: four layers, four heads, two of them for keys and values, a vocabulary.
    pub fn llama() -> Self {
        Self::of("llama")
            .text("general.name", "Sample")
            .number("general.file_type", 15)
            .number("llama.context_length", 4096)
            .number("llama.block_count", 4)
            .number("llama.embedding_length", 128)
            .number("llama.feed_forward_length", 352)
            .number("llama.attention.head_count", 4)
            .number("llama.attention.head_count_kv", 2)
            .vocabulary()
            .tensor("token_embd.weight", &[256, 4], 12)
            .tensor("output_norm.weight", &[128], 0)
    }

    /// A tokenizer of four words.
    #[must_use]
    pub fn vocabulary(self) -> Self {
        self.text("tokenizer.ggml.model", "gpt2")
            .text("tokenizer.ggml.pre", "gpt-2")
            .texts("tokenizer.ggml.tokens", &["a", "b", "ab", "<|end|>"])
            .numbers("tokenizer.ggml.token_type", &[1, 1, 1, 3])
            .texts("tokenizer.ggml.merges", &["a b"])
            .number("tokenizer.ggml.eos_token_id", 3)
    }
    /// A key with a text.
    #[must_use]
    pub fn text(self, key: &str, text: &str) -> Self {
        self.value(key, 8, |bytes| put_text(bytes, text))
    }
    /// A key with an unsigned number of 32 bits.
    #[must_use]
    pub fn number(self, key: &str, number: u32) -> Self {
        self.value(key, 4, |bytes| bytes.extend(number.to_le_bytes()))
    }
    /// A key with a yes or no.
    #[must_use]
    pub fn flag(self, key: &str, flag: bool) -> Self {
        self.value(key, 7, |bytes| bytes.push(flag.into()))
    }
    /// A key with an array of signed numbers of 32 bits.
    #[must_use]
    pub fn numbers(self, key: &str, numbers: &[i32]) -> Self {
        self.value(key, 9, |bytes| {
            bytes.extend(5_u32.to_le_bytes());
            bytes.extend((numbers.len() as u64).to_le_bytes());
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        })
    }
    /// A key with an array of real numbers of 32 bits.
    #[must_use]
    pub fn reals(self, key: &str, reals: &[f32]) -> Self {
        self.value(key, 9, |bytes| {
            bytes.extend(6_u32.to_le_bytes());
            bytes.extend((reals.len() as u64).to_le_bytes());
            bytes.extend(reals.iter().flat_map(|real| real.to_le_bytes()));
        })
    }
    /// A key with an array of texts.
    #[must_use]
    pub fn texts(self, key: &str, texts: &[&str]) -> Self {
        self.value(key, 9, |bytes| {
            bytes.extend(8_u32.to_le_bytes());
            bytes.extend((texts.len() as u64).to_le_bytes());
            for text in texts {
                put_text(bytes, text);
            }
        })
    }
    /// A key with a value of any type, written by hand.
    #[must_use]
    pub fn value(mut self, key: &str, code: u32, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        self.keys += 1;
        put_text(&mut self.key_bytes, key);
        self.key_bytes.extend(code.to_le_bytes());
        write(&mut self.key_bytes);
        self
    }
    /// A tensor behind the ones before; of an unknown type it takes no space.
    #[must_use]
    pub fn tensor(self, name: &str, shape: &[u64], code: u32) -> Self {
        let offset = self.data;
        self.tensor_at(name, shape, code, offset)
    }
    /// A tensor at this offset of the data.
    #[must_use]
    pub fn tensor_at(mut self, name: &str, shape: &[u64], code: u32, offset: u64) -> Self {
        self.tensors += 1;
        put_text(&mut self.tensor_bytes, name);
        self.tensor_bytes.extend(u32::try_from(shape.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.tensor_bytes.extend(shape.iter().flat_map(|side| side.to_le_bytes()));
        self.tensor_bytes.extend(code.to_le_bytes());
        self.tensor_bytes.extend(offset.to_le_bytes());
        let elements = shape.iter().fold(1, |product: u64, side| product.saturating_mul(*side));
        let bytes = crate::TensorType::of(code).map_or(0, |kind| (elements / kind.block).saturating_mul(kind.bytes));
        self.data = self.data.saturating_add(bytes.div_ceil(ALIGNMENT).saturating_mul(ALIGNMENT));
        self
    }

    /// The header alone, up to where the data begins.
    pub fn header(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend(self.tensors.to_le_bytes());
        bytes.extend(self.keys.to_le_bytes());
        bytes.extend(&self.key_bytes);
        bytes.extend(&self.tensor_bytes);
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes
    }

    /// How long the whole file is.
    pub fn file_len(&self) -> u64 {
        (self.header().len() as u64).saturating_add(self.data)
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}
