//! What an isolate remembers between requests: caches and counts, each a type of the module that uses it.

use std::{
    any::{Any, TypeId},
    cell::RefCell,
    fmt,
    rc::Rc,
};

/// One value of each type, created by `Default` when it is first asked for.
#[derive(Default)]
pub struct Memory(RefCell<Vec<(TypeId, Rc<dyn Any>)>>);

impl Memory {
    /// Returns the value of this type.
    pub fn of<T: Default + 'static>(&self) -> Rc<T> {
        let id = TypeId::of::<T>();
        let mut values = self.0.borrow_mut();
        let found = values.iter().find(|(known, _)| *known == id);
        if let Some(found) = found.and_then(|(_, value)| Rc::clone(value).downcast().ok()) {
            return found;
        }
        let value = Rc::new(T::default());
        values.push((id, Rc::<T>::clone(&value)));
        value
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Memory").field(&self.0.borrow().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn keeps_one_value_of_each_type() {
        let memory = Memory::default();
        memory.of::<Cell<u32>>().set(1);
        memory.of::<Cell<bool>>().set(true);
        assert_eq!((memory.of::<Cell<u32>>().get(), memory.of::<Cell<bool>>().get()), (1, true));
    }
}
