//! Finds the fields of the running kernel's structures.
//!
//! In: the kernel's own type information (BTF). Out: [`Offsets`] for the BPF side, and the names of what this
//! kernel does not have.

use btf_rs::{Backend, Btf, BtfType, FuncProto, Struct, Type};
use probe_common::Offsets;

use super::{KernelError, host::BTF_PATH};

/// Opens the kernel's types. Kernels from 6.16 on let them be mapped, which takes no memory; older ones have them
/// read.
///
/// # Errors
/// [`KernelError::Refused`] where they cannot be read.
pub fn read() -> Result<Btf, KernelError> {
    Btf::from_file_with_backend(BTF_PATH, Backend::Mmap)
        .or_else(|_| Btf::from_file(BTF_PATH))
        .map_err(|error| KernelError::refused("reading BTF", error))
}

/// The same types as the loader of programs wants them, read when the first program is loaded. They take more memory than all the
/// rest of the daemon, so they go with whoever loads.
#[derive(Default)]
pub struct Types(Option<aya::Btf>);

impl Types {
    /// Reads them, unless somebody has.
    ///
    /// # Errors
    /// [`KernelError::Refused`] where they cannot be read.
    pub fn get(&mut self) -> Result<&aya::Btf, KernelError> {
        match &mut self.0 {
            Some(types) => Ok(types),
            none => {
                let types = aya::Btf::from_sys_fs().map_err(|e| KernelError::refused("reading BTF", e))?;
                Ok(none.insert(types))
            }
        }
    }
}

/// Resolves every field that the BPF side reads. What the kernel lacks is listed second, by its path.
pub fn offsets(btf: &Btf) -> (Offsets, Vec<&'static str>) {
    let mut missing = Vec::new();
    let offsets = Offsets::resolve(|path| {
        let found = find(btf, path);
        if found.is_none() {
            missing.push(path);
        }
        found
    });
    (offsets, missing)
}

/// Whether this kernel has the field.
pub fn has(btf: &Btf, path: &str) -> bool {
    find(btf, path).is_some()
}

/// The first of the alternatives of a path that this kernel has.
fn find(btf: &Btf, path: &str) -> Option<u32> {
    path.split(" or ").find_map(|path| find_one(btf, path))
}

/// `struct.member.member[index]` to its offset, or `sizeof struct` to its size, in bytes.
fn find_one(btf: &Btf, path: &str) -> Option<u32> {
    if let Some(name) = path.strip_prefix("sizeof ") {
        return u32::try_from(named_struct(btf, name)?.size()).ok();
    }
    let mut names = path.split('.');
    let mut current = Type::Struct(named_struct(btf, names.next()?)?);
    let mut offset = 0;
    for name in names {
        let (name, index) = match name.split_once('[') {
            Some((name, index)) => (name, Some(self::index(btf, index.strip_suffix(']')?)?)),
            None => (name, None),
        };
        let (bits, member) = member(btf, &current, name)?;
        offset += bits / 8;
        current = member;
        if let Some(index) = index {
            let Type::Array(array) = &current else { return None };
            let element = resolved(btf, array)?;
            // An element at the front of the array has its offset, whatever its size.
            offset += if index > 0 { index * size(btf, &element)? } else { 0 };
            current = element;
        }
    }
    Some(offset)
}

/// A number, or the value of `enum:enumerator`.
fn index(btf: &Btf, index: &str) -> Option<u32> {
    let Some((name, enumerator)) = index.split_once(':') else { return index.parse().ok() };
    btf.resolve_types_by_name(name).ok()?.into_iter().find_map(|found| {
        let Type::Enum(found) = found else { return None };
        let mut members = found.members.iter();
        members
            .find(|member| btf.resolve_name(*member).is_ok_and(|name| name == enumerator))
            .map(|found| found.val())
    })
}

/// Whether the tracepoint's first argument is a pointer to that structure; also false where there is no such
/// tracepoint.
pub fn first_argument_is(btf: &Btf, tracepoint: &str, structure: &str) -> bool {
    function(btf, tracepoint)
        .and_then(|function| argument_leads_to(btf, &function))
        .is_some_and(|name| name == structure)
}

/// How many arguments the tracepoint has; none where there is no such tracepoint.
pub fn arguments(btf: &Btf, tracepoint: &str) -> Option<usize> {
    function(btf, tracepoint)?.parameters.len().checked_sub(1)
}

/// `btf_trace_x` is a pointer to a function whose parameters are a `void *` and the tracepoint's arguments.
fn function(btf: &Btf, tracepoint: &str) -> Option<FuncProto> {
    let found = btf.resolve_types_by_name(&format!("btf_trace_{tracepoint}")).ok()?;
    found.iter().find_map(|found| {
        let Type::Typedef(pointer) = found else { return None };
        let Type::Ptr(function) = resolved(btf, pointer)? else { return None };
        let Type::FuncProto(function) = resolved(btf, &function)? else { return None };
        Some(function)
    })
}

fn argument_leads_to(btf: &Btf, function: &FuncProto) -> Option<String> {
    let Type::Ptr(argument) = resolved(btf, function.parameters.get(1)?)? else { return None };
    let Type::Struct(structure) = resolved(btf, &argument)? else { return None };
    btf.resolve_name(&structure).ok()
}

fn named_struct(btf: &Btf, name: &str) -> Option<Struct> {
    btf.resolve_types_by_name(name).ok()?.into_iter().find_map(|found| match found {
        Type::Struct(found) => Some(found),
        _ => None,
    })
}

/// A member by name, also inside anonymous structs and unions: its offset in bits, and its type.
fn member(btf: &Btf, outer: &Type, name: &str) -> Option<(u32, Type)> {
    let (Type::Struct(outer) | Type::Union(outer)) = outer else { return None };
    for member in &outer.members {
        let member_name = btf.resolve_name(member).unwrap_or_default();
        let inner = resolved(btf, member)?;
        if member_name == name {
            return Some((member.bit_offset(), inner));
        }
        if member_name.is_empty()
            && let Some((bits, found)) = self::member(btf, &inner, name)
        {
            return Some((member.bit_offset() + bits, found));
        }
    }
    None
}

/// The type that this one refers to, typedefs and qualifiers taken off.
fn resolved(btf: &Btf, from: &dyn BtfType) -> Option<Type> {
    let mut current = btf.resolve_chained_type(from).ok()?;
    // Deeper than any chain of typedefs and qualifiers in the kernel; ends a loop in broken BTF.
    for _ in 0..32 {
        current = match &current {
            Type::Typedef(next) => btf.resolve_chained_type(next).ok()?,
            Type::Const(next) | Type::Volatile(next) | Type::Restrict(next) => {
                btf.resolve_chained_type(next).ok()?
            }
            Type::TypeTag(next) => btf.resolve_chained_type(next).ok()?,
            _ => return Some(current),
        };
    }
    None
}

fn size(btf: &Btf, of: &Type) -> Option<u32> {
    match of {
        // The daemon runs on 64-bit kernels only.
        Type::Ptr(_) => Some(8),
        Type::Int(int) => u32::try_from(int.size()).ok(),
        Type::Struct(found) | Type::Union(found) => u32::try_from(found.size()).ok(),
        Type::Array(array) => Some(u32::try_from(array.len()).ok()? * size(btf, &resolved(btf, array)?)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_every_field_and_no_invented_one() {
        let Ok(btf) = Btf::from_file("/sys/kernel/btf/vmlinux") else {
            eprintln!("this kernel has no BTF: nothing to compare");
            return;
        };
        let (offsets, missing) = offsets(&btf);
        assert_eq!(missing, Vec::<&str>::new());
        assert_eq!(offsets.signal_sid, offsets.signal_tgid + 16, "pointers of 8 bytes, two apart");
        assert_eq!(offsets.upid_nr, 0);
        assert_eq!(offsets.upid_size, 16);
        assert_eq!(find(&btf, "task_struct.no_such_field"), None);
        assert_eq!(find(&btf, "no_such_struct.x or upid.ns"), find(&btf, "upid.ns"));
        assert!(first_argument_is(&btf, "sched_process_exit", "task_struct"));
        assert!(!first_argument_is(&btf, "signal_generate", "task_struct"));
        assert!(!first_argument_is(&btf, "no_such_tracepoint", "task_struct"));
        assert_eq!(arguments(&btf, "sys_exit"), Some(2));
        assert_eq!(arguments(&btf, "no_such_tracepoint"), None);
        assert_eq!(find(&btf, "sizeof no_such_struct"), None);
        assert_eq!(find(&btf, "task_struct.tgid.deeper"), None);
    }
}
