//! Shared strings. Labels, phases and node names repeat across thousands of objects; each is stored once.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// An interned string.
pub(crate) type Symbol = Arc<str>;

/// The strings in use. A string that nobody else holds any more is dropped by the next sweep, which runs when the
/// table has doubled, so that its cost is amortised.
#[derive(Default)]
pub(crate) struct Interner(Mutex<Table>);

#[derive(Default)]
struct Table {
    symbols: HashSet<Symbol>,
    sweep_at: usize,
}

impl Interner {
    /// The one shared copy of a string.
    pub fn intern(&self, text: &str) -> Symbol {
        let mut table = self.0.lock();
        if let Some(symbol) = table.symbols.get(text) {
            return symbol.clone();
        }
        if table.symbols.len() >= table.sweep_at {
            table.symbols.retain(|symbol| Arc::strong_count(symbol) > 1);
            table.sweep_at = (table.symbols.len() * 2).max(SWEEP_FLOOR);
        }
        let symbol = Symbol::from(text);
        table.symbols.insert(symbol.clone());
        symbol
    }
}

/// Tables smaller than this are not worth sweeping.
const SWEEP_FLOOR: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_are_shared_and_unused_ones_are_swept() {
        let interner = Interner::default();
        let kept = interner.intern("kept");
        assert!(Arc::ptr_eq(&kept, &interner.intern("kept")));
        for i in 0..3 * SWEEP_FLOOR {
            interner.intern(&i.to_string());
        }
        assert!(interner.0.lock().symbols.len() <= SWEEP_FLOOR + 1);
        assert!(Arc::ptr_eq(&kept, &interner.intern("kept")));
    }
}
