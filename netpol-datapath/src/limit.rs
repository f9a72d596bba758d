//! Buckets of tokens, filled once a second.

use netpol_common::limit::Bucket;

use crate::Tables;

/// The bucket with one token less, unless it is empty and this second is not over.
#[inline(always)]
pub(crate) fn take<T: Tables>(tables: &T, mut bucket: Bucket, a_second: u32) -> Option<Bucket> {
    let now = tables.ticks();
    if bucket.tokens == 0 {
        if now.wrapping_sub(bucket.filled) < tables.ticks_per_second() {
            return None;
        }
        bucket = Bucket {
            filled: now,
            tokens: a_second,
        };
        if bucket.tokens == 0 {
            return None;
        }
    }
    bucket.tokens -= 1;
    Some(bucket)
}
