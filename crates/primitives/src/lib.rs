//! Ids, token amounts, Merkle trees and canonical encodings; no I/O.
