//! Mirrors: what a topology may say of them, and what becomes of it on two Kafkas.

mod check;
