//! What plugins remember within one decision.

use std::any::Any;

/// Something a plugin computes at one extension point and reads at a later one.
pub trait StateData: Any + Send + Sync {
    /// A copy for trying something out.
    fn boxed_clone(&self) -> Box<dyn StateData>;
    /// For looking it up by type.
    fn as_any(&self) -> &dyn Any;
    /// The same, to change it.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Any + Send + Sync + Clone> StateData for T {
    fn boxed_clone(&self) -> Box<dyn StateData> {
        Box::new(self.clone())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The state of one decision: at most one value per type, and which plugins have nothing to say.
#[derive(Default)]
pub struct CycleState {
    entries: Vec<Box<dyn StateData>>,
    /// Bit `n`: plugin `n` of the profile skips Filter.
    pub(crate) skip_filter: u64,
    /// Bit `n`: plugin `n` of the profile skips Score.
    pub(crate) skip_score: u64,
}

impl CycleState {
    /// The value of this type.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.entries.iter().find_map(|entry| (**entry).as_any().downcast_ref())
    }

    /// The value of this type, to change it.
    pub fn get_mut<T: Any>(&mut self) -> Option<&mut T> {
        self.entries.iter_mut().find_map(|entry| (**entry).as_any_mut().downcast_mut())
    }

    /// Keeps a value, instead of an earlier one of its type.
    pub fn put<T: StateData>(&mut self, value: T) {
        match self.get_mut::<T>() {
            Some(known) => *known = value,
            None => self.entries.push(Box::new(value)),
        }
    }
}

impl Clone for CycleState {
    fn clone(&self) -> Self {
        Self {
            entries: self.entries.iter().map(|entry| (**entry).boxed_clone()).collect(),
            skip_filter: self.skip_filter,
            skip_score: self.skip_score,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_independent() {
        let mut state = CycleState::default();
        state.put(1u32);
        state.put("a".to_owned());
        let mut copy = state.clone();
        copy.put(2u32);
        assert_eq!((state.get::<u32>(), copy.get::<u32>()), (Some(&1), Some(&2)));
        assert_eq!(copy.get::<String>().map(String::as_str), Some("a"));
        assert_eq!(copy.get::<i8>(), None);
    }
}
