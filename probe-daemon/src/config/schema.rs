//! What a section of the configuration is: one declaration gives its struct, its defaults, how it is read
//! and shown, and its page in the documentation. In: `section!` and `choice!` declarations. Out: types.

use crate::config::read::Reader;
use crate::config::tree::{Node, Table, Value};

/// How one setting is read, checked, shown and described.
pub(crate) trait Kind {
    type Value;

    /// What may be written, for the documentation.
    fn accepts(&self) -> String;

    /// The setting, or `None` after telling the reader what is wrong with it.
    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<Self::Value>;

    /// The setting as it would be written; `None` where it is not set.
    fn show(&self, value: &Self::Value) -> Option<Value>;

    /// Sections below this key, where it is one.
    fn sections(&self, _key: &str) -> Vec<SectionDoc> {
        Vec::new()
    }
}

/// A section: a struct made by `section!`.
pub(crate) trait Section: Default {
    fn docs(key: &str, list: bool) -> Vec<SectionDoc>;
    fn read(reader: &mut Reader, key: &str, table: &Table) -> Self;
    fn show(&self) -> Table;
}

/// A section as the documentation shows it.
pub(crate) struct SectionDoc {
    pub(crate) key: String,
    pub(crate) list: bool,
    pub(crate) doc: String,
    pub(crate) fields: Vec<FieldDoc>,
    pub(crate) others: Vec<&'static str>,
}

/// A key as the documentation shows it.
pub(crate) struct FieldDoc {
    pub(crate) key: &'static str,
    pub(crate) accepts: String,
    pub(crate) default: Option<Value>,
    pub(crate) doc: String,
}

impl SectionDoc {
    pub(crate) fn has(&self, key: &str) -> bool {
        self.fields.iter().any(|field| field.key == key)
    }

    pub(crate) fn header(&self) -> String {
        if self.list { format!("[[{}]]", self.key) } else { format!("[{}]", self.key) }
    }
}

/// Joins the lines of a doc comment.
pub(crate) fn doc(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// Declares a section: fields with type, default and kind; `others` are keys of gala-gopher that this probe
/// accepts and does not use; `check` looks at the whole section once its fields are read; `also` are fields
/// that are not read from the file.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])*
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])*
                pub $field:ident $(as $key:literal)?: $type:ty = $default:expr, $kind:expr;
            )*
        }
        $(others $others:expr;)?
        $(check $check:expr;)?
        $(also { $( $(#[doc = $also_doc:literal])* pub $also:ident: $also_type:ty; )* })?
    ) => {
        $(#[doc = $section_doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $type, )*
            $($( $(#[doc = $also_doc])* pub $also: $also_type, )*)?
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* $($( $also: Default::default(), )*)? }
            }
        }

        impl $crate::config::schema::Section for $name {
            fn docs(key: &str, list: bool) -> Vec<$crate::config::schema::SectionDoc> {
                use $crate::config::schema::{FieldDoc, Kind as _, SectionDoc, doc};
                let default = Self::default();
                let mut fields = Vec::new();
                let mut below = Vec::new();
                $({
                    let name = $crate::config::schema::key_of!($field $($key)?);
                    let sections = $kind.sections(&$crate::config::read::join(key, name));
                    if sections.is_empty() {
                        fields.push(FieldDoc {
                            key: name,
                            accepts: $kind.accepts(),
                            default: $kind.show(&default.$field),
                            doc: doc(&[$($doc),*]),
                        });
                    }
                    below.extend(sections);
                })*
                let others: Vec<&'static str> = [[].as_slice() $(, $others.as_slice())?].concat();
                let section_doc = doc(&[$($section_doc),*]);
                let mut all = vec![SectionDoc { key: key.to_owned(), list, doc: section_doc, fields, others }];
                all.extend(below);
                all
            }

            fn read(
                reader: &mut $crate::config::read::Reader,
                key: &str,
                table: &$crate::config::tree::Table,
            ) -> Self {
                use $crate::config::{read::join, schema::{Kind as _, key_of}};
                let known = [$(key_of!($field $($key)?)),*];
                let others: Vec<&'static str> = [[].as_slice() $(, $others.as_slice())?].concat();
                let mut section = Self::default();
                for entry in table {
                    let path = join(key, &entry.key);
                    $(
                        if entry.key == key_of!($field $($key)?) {
                            if let Some(value) = $kind.read(reader, &path, &entry.node) {
                                section.$field = value;
                            }
                            continue;
                        }
                    )*
                    if others.contains(&entry.key.as_str()) {
                        reader.belongs_to_others(path);
                    } else {
                        reader.unknown(entry, key, &known);
                    }
                }
                $( $check(reader, key, table); )?
                section
            }

            fn show(&self) -> $crate::config::tree::Table {
                use $crate::config::schema::{Kind as _, entry, key_of};
                let mut table = Vec::new();
                $(
                    if let Some(value) = $kind.show(&self.$field) {
                        table.push(entry(key_of!($field $($key)?), value));
                    }
                )*
                table
            }
        }
    };
}

/// The name of a field in the file, where it is not the field's own.
macro_rules! key_of {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

/// Declares a setting with a fixed list of names. The words in brackets complete "... is not".
macro_rules! choice {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident ($what:literal) { $( $(#[doc = $variant_doc:literal])* $variant:ident = $text:literal, )* }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[doc = $variant_doc])* $variant, )* }

        impl $name {
            /// The name as it is written in the file.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text, )* }
            }

            /// All that there are.
            pub fn all() -> &'static [Self] {
                &[$( Self::$variant, )*]
            }
        }

        impl $crate::config::kind::Choice for $name {
            const ALL: &'static [Self] = &[$( Self::$variant, )*];
            const WHAT: &'static str = $what;
            fn name(self) -> &'static str {
                self.as_str()
            }
        }
    };
}

pub(crate) use {choice, key_of, section};

/// An entry that was not written anywhere.
pub(crate) fn entry(key: &str, value: Value) -> crate::config::tree::Entry {
    let place = crate::config::error::Place { file: "".into(), line: 0 };
    crate::config::tree::Entry { key: key.to_owned(), place: place.clone(), node: Node { value, place } }
}
