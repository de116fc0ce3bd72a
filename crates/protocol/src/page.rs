//! Pages as bytes.
