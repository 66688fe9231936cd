//! JSONata behind one type.
