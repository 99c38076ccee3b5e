//! Where observations come from. Each source sends batches of them to the pipeline and knows no sink.

pub mod kernel;
