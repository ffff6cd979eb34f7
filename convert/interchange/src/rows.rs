//! Encoded rows: integer indices per field, streamed in blocks.
