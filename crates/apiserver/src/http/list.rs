//! The body of a JSON list.

use bytes::{BufMut, Bytes, BytesMut};

/// Small list items are joined into chunks of this size; larger ones are sent as they are.
const CHUNK: usize = 32 * 1024;

/// The chunks of a JSON list: small items are joined, large ones are shared slices.
pub(super) struct Chunks {
    head: Option<Bytes>,
    items: std::vec::IntoIter<Bytes>,
    head_of_item: Bytes,
    first: bool,
    done: bool,
    large: Option<Bytes>,
}

impl Chunks {
    /// `head`, the items with commas between them, and the end. Each item begins with `head_of_item` instead of its brace,
    /// where that is not empty.
    pub fn new(head: Bytes, items: Vec<Bytes>, head_of_item: Bytes) -> Self {
        Chunks {
            head: Some(head),
            items: items.into_iter(),
            head_of_item,
            first: true,
            done: false,
            large: None,
        }
    }
}

impl Iterator for Chunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if let Some(large) = self.large.take() {
            return Some(large);
        }
        if self.done {
            return None;
        }
        let mut chunk = BytesMut::with_capacity(CHUNK);
        if let Some(head) = self.head.take() {
            chunk.put_slice(&head);
        }
        while chunk.len() < CHUNK {
            let Some(item) = self.items.next() else {
                chunk.put_slice(b"]}\n");
                self.done = true;
                break;
            };
            if !std::mem::take(&mut self.first) {
                chunk.put_u8(b',');
            }
            let rest = match self.head_of_item.is_empty() {
                true => item,
                false => {
                    chunk.put_slice(&self.head_of_item);
                    item.slice(1..)
                }
            };
            if rest.len() >= CHUNK {
                self.large = Some(rest);
                break;
            }
            chunk.put_slice(&rest);
        }
        Some(chunk.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_joined_and_large_ones_shared() {
        let large = Bytes::from(format!("{{\"x\":\"{}\"}}", "y".repeat(CHUNK)));
        let items = vec![Bytes::from_static(b"{\"a\":1}"), large.clone(), Bytes::from_static(b"{\"b\":2}")];
        let chunks: Vec<Bytes> =
            Chunks::new(Bytes::from_static(b"{\"items\":["), items, Bytes::new()).collect();
        assert!(chunks.iter().any(|chunk| chunk.as_ptr() == large.as_ptr()), "the large item was copied");
        let text = String::from_utf8(chunks.concat()).unwrap();
        assert!(text.starts_with("{\"items\":[{\"a\":1},{\"x\""), "{}", &text[..40]);
        assert!(text.ends_with("},{\"b\":2}]}\n"));
    }

    #[test]
    fn items_get_a_kind() {
        let items = vec![Bytes::from_static(b"{\"a\":1}"), Bytes::from_static(b"{\"b\":2}")];
        let chunks = Chunks::new(Bytes::from_static(b"["), items, Bytes::from_static(b"{\"kind\":\"K\","));
        let text: Vec<u8> = chunks.collect::<Vec<_>>().concat();
        assert_eq!(text, b"[{\"kind\":\"K\",\"a\":1},{\"kind\":\"K\",\"b\":2}]}\n");
    }

    #[test]
    fn an_empty_list_ends() {
        let text: Vec<u8> =
            Chunks::new(Bytes::from_static(b"["), Vec::new(), Bytes::new()).collect::<Vec<_>>().concat();
        assert_eq!(text, b"[]}\n");
    }
}
