//! Opening the kernel side's maps, wherever they are: in an object that was loaded, or pinned by an earlier daemon.
//!
//! In: a name. Out: the map with its type.

use aya::{
    Ebpf, Pod,
    maps::{Array, Map, MapData, RingBuf},
};
use probe_common::RING;

use super::KernelError;

/// Where maps are.
pub trait Maps {
    /// The map of this name.
    ///
    /// # Errors
    /// [`KernelError`] where there is none.
    fn take(&mut self, name: &'static str) -> Result<Map, KernelError>;
}

impl Maps for Ebpf {
    fn take(&mut self, name: &'static str) -> Result<Map, KernelError> {
        self.take_map(name).ok_or_else(|| KernelError::Refused {
            what: "the BPF object",
            detail: format!("has no map {name}"),
        })
    }
}

/// An array.
pub fn array<V: Pod>(maps: &mut impl Maps, name: &'static str) -> Result<Array<MapData, V>, KernelError> {
    Array::try_from(maps.take(name)?).map_err(|e| KernelError::refused("opening a map", e))
}

/// The ring buffer.
pub fn ring(maps: &mut impl Maps) -> Result<RingBuf<MapData>, KernelError> {
    RingBuf::try_from(maps.take(RING)?).map_err(|e| KernelError::refused("mapping the ring buffer", e))
}
