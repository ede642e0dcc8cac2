//! The closed list of names that a pickle may use.

use blocks::TensorType;

/// What a pickle may name. Nothing of it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(StorageType),
}

/// The numbers of a storage, as torch names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct StorageType {
    /// "BFloat16Storage".
    pub(in super::super) name: &'static str,
    /// The type of its numbers, where it is one that weights come in.
    pub(in super::super) ty: Option<TensorType>,
}

const fn storage(name: &'static str, ty: Option<TensorType>) -> (&'static str, &'static str, Global) {
    ("torch", name, Global::Storage(StorageType { name, ty }))
}

/// Module, name, meaning. The storages without a type are harmless and may belong to tensors that nobody converts.
pub(super) const GLOBALS: &[(&str, &str, Global)] = &[
    ("collections", "OrderedDict", Global::OrderedDict),
    ("torch._utils", "_rebuild_tensor_v2", Global::RebuildTensor),
    ("torch._utils", "_rebuild_parameter", Global::RebuildParameter),
    storage("BFloat16Storage", Some(TensorType::Bf16)),
    storage("HalfStorage", Some(TensorType::F16)),
    storage("FloatStorage", Some(TensorType::F32)),
    storage("DoubleStorage", None),
    storage("LongStorage", None),
    storage("IntStorage", None),
    storage("ShortStorage", None),
    storage("CharStorage", None),
    storage("ByteStorage", None),
    storage("BoolStorage", None),
    storage("ComplexFloatStorage", None),
    storage("ComplexDoubleStorage", None),
];
