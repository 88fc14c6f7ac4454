//! Collects the chunks of a body without wasting memory.
//!
//! In workerd, a chunk is a view into a buffer of at least 4 KiB, even if it has one byte. So short chunks are copied
//! into blocks. A body that is sent one byte at a time then takes memory of its own length, not thousands of times as
//! much.

use js_sys::Uint8Array;

/// Chunks of a body, in order.
#[derive(Default)]
pub(super) struct Chunks {
    done: Vec<Uint8Array>,
    /// The block that is being filled, and the number of bytes in use.
    block: Option<(Uint8Array, u32)>,
}

impl Chunks {
    /// Appends a chunk.
    pub(super) fn push(&mut self, chunk: Uint8Array) {
        let length = chunk.byte_length();
        if length < SHORT {
            return self.pack(&chunk);
        }
        self.end_block();
        let wastes_memory = chunk.buffer().byte_length() / 2 > length;
        self.done.push(if wastes_memory { chunk.slice(0, length) } else { chunk });
    }

    /// Returns all bytes in one buffer.
    pub(super) fn join(mut self) -> Uint8Array {
        self.end_block();
        if let [chunk] = &self.done[..] {
            return chunk.clone();
        }
        let length = self.done.iter().map(Uint8Array::byte_length).fold(0, u32::saturating_add);
        let whole = Uint8Array::new_with_length(length);
        let mut at = 0_u32;
        for chunk in &self.done {
            whole.set(chunk, at);
            at = at.saturating_add(chunk.byte_length());
        }
        whole
    }

    fn pack(&mut self, chunk: &Uint8Array) {
        let fits = |filled: u32| filled.saturating_add(chunk.byte_length()) <= BLOCK;
        if self.block.as_ref().is_some_and(|(_, filled)| !fits(*filled)) {
            self.end_block();
        }
        let (block, filled) = self.block.get_or_insert_with(|| (Uint8Array::new_with_length(BLOCK), 0));
        block.set(chunk, *filled);
        *filled = filled.saturating_add(chunk.byte_length());
    }

    fn end_block(&mut self) {
        if let Some((block, filled)) = self.block.take() {
            self.done.push(block.slice(0, filled));
        }
    }
}

/// Size of a block, in bytes.
const BLOCK: u32 = 65_536;

/// Chunks with fewer bytes are copied into a block.
const SHORT: u32 = 4_096;
