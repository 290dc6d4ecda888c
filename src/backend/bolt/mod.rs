//! bbolt's file (so far its freelist).

mod freelist;
