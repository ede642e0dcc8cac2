//! What a pickle's values mean: tensors by name.

use super::{Fault, Global, Machine, Object, StorageType, Value};

/// A storage, as the pickle claims it to be.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct StorageEntry<'a> {
    /// The zip's entry `data/{key}`.
    pub(in super::super) key: &'a str,
    /// What it holds.
    pub(in super::super) storage: StorageType,
    /// How many numbers.
    pub(in super::super) n_elements: u64,
}

/// A tensor, as the pickle claims it to be: a view of a storage. Shape and strides are equally long.
#[derive(Clone, Debug)]
pub(in super::super) struct TensorEntry<'a> {
    pub(in super::super) storage: StorageEntry<'a>,
    /// The first number's, in numbers.
    pub(in super::super) offset: u64,
    /// The slowest dimension first.
    pub(in super::super) shape: Vec<u64>,
    /// Distance of neighbours in each dimension, in numbers.
    pub(in super::super) strides: Vec<u64>,
}

/// The tensors of a pickled dictionary, in its order. Entries that are no tensors (a step count, a nested
/// configuration) are passed over.
pub(in super::super) fn state_dict(pickle: &[u8]) -> Result<Vec<(&str, TensorEntry<'_>)>, Fault> {
    let mut machine = Machine::new(pickle);
    let top = machine.run()?;
    let Value::Object(top) = top else { return Err(machine.fault("it holds no dictionary of tensors")) };
    let Object::Dict(pairs) = &machine.objects[top] else {
        return Err(machine.fault("it holds no dictionary of tensors"));
    };
    let tensors = pairs.iter().filter_map(|&[key, value]| match (key, value) {
        (Value::Str(name), Value::Object(at)) if let Object::Tensor(tensor) = &machine.objects[at] => {
            Some((name, tensor.clone()))
        }
        _ => None,
    });
    Ok(tensors.collect())
}

/// Dimensions of a tensor; a checkpoint's have 1 or 2.
const MAX_DIMS: usize = 8;

impl<'a> Machine<'a> {
    /// A persistent id: `("storage", type, key, device, number of elements)`.
    pub(super) fn storage(&self, id: Value<'a>) -> Result<StorageEntry<'a>, Fault> {
        match *self.tuple(id)? {
            [
                Value::Str("storage"),
                Value::Global(Global::Storage(storage)),
                Value::Str(key),
                Value::Str(_),
                Value::Int(n_elements),
            ] => {
                let n_elements = self.size(n_elements)?;
                Ok(StorageEntry { key, storage, n_elements })
            }
            _ => Err(self.fault("a storage is not described as torch.save does")),
        }
    }

    /// `_rebuild_tensor_v2(storage, offset, shape, strides, …)`. What follows concerns training.
    pub(super) fn tensor(&self, arguments: Value<'a>) -> Result<TensorEntry<'a>, Fault> {
        match *self.tuple(arguments)? {
            [Value::Object(storage), Value::Int(offset), shape, strides, _, _, ..]
                if let Object::Storage(storage) = self.objects[storage] =>
            {
                let (offset, shape, strides) = (self.size(offset)?, self.sizes(shape)?, self.sizes(strides)?);
                if shape.len() != strides.len() {
                    return Err(
                        self.fault(format!("shape {shape:?} and strides {strides:?} differ in length"))
                    );
                }
                Ok(TensorEntry { storage, offset, shape, strides })
            }
            _ => Err(self.fault("a tensor is not described as torch.save does")),
        }
    }

    fn sizes(&self, tuple: Value<'a>) -> Result<Vec<u64>, Fault> {
        let size = |&item: &Value<'a>| match item {
            Value::Int(size) => self.size(size),
            _ => Err(self.fault("a size is no integer")),
        };
        let sizes = self.tuple(tuple)?;
        // A tuple that is described once can be named thousands of times, and each tensor gets its own copy.
        if sizes.len() > MAX_DIMS {
            return Err(self.fault(format!("a tensor of {} dimensions; weights have 1 or 2", sizes.len())));
        }
        sizes.iter().map(size).collect()
    }

    fn size(&self, size: i64) -> Result<u64, Fault> {
        u64::try_from(size).map_err(|_| self.fault(format!("a size of {size} is negative")))
    }
}
