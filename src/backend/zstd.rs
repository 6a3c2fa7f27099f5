//! Compression contexts kept by a backend: creating one costs more than compressing the changes of an autosave.
//!
//! Frames contain neither magic number, content size nor checksum: the row they are stored in records what they are,
//! how long their content is and what it hashes to.

use std::cell::RefCell;

use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter, FrameFormat, ResetDirective, compress_bound};

/// Level 3 is zstd's default. Level 6 stores an editing session in 13 % less space but takes twice as long.
const LEVEL: i32 = 3;

/// Contents larger than this are searched for matches beyond the level's own window.
const LONG_DISTANCE: usize = 1 << 20;

/// Limits of the window size as powers of two; matches beyond the largest are not found.
const WINDOW: core::ops::RangeInclusive<u32> = 10..=29;

thread_local! {
    static COMPRESSOR: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// Frees the contexts.
pub fn forget_contexts() {
    COMPRESSOR.take();
    DECOMPRESSOR.take();
}

/// Compresses `content`, using `prefix` as the data that precedes it.
pub fn compress(prefix: &[u8], content: &[u8]) -> Vec<u8> {
    let reach = prefix.len() + content.len();
    if reach > LONG_DISTANCE {
        // Its tables take tens of megabytes, so no session keeps them.
        return compress_with(&mut CCtx::create(), prefix, content, Some(reach)).unwrap_or_else(fail);
    }
    COMPRESSOR.with_borrow_mut(|slot| {
        let context = slot.get_or_insert_with(CCtx::create);
        compress_with(context, prefix, content, None).unwrap_or_else(|code| {
            *slot = None;
            fail(code)
        })
    })
}

fn fail(code: usize) -> Vec<u8> {
    panic!("zstd: {}", zstd::zstd_safe::get_error_name(code))
}

/// `far` is the distance within which matches are searched, if it is longer than the level's own window.
fn compress_with(context: &mut CCtx, prefix: &[u8], content: &[u8], far: Option<usize>) -> Result<Vec<u8>, usize> {
    let mut frame: Vec<u8> = Vec::with_capacity(compress_bound(content.len()));
    let parameters = [
        CParameter::CompressionLevel(LEVEL),
        CParameter::Format(FrameFormat::Magicless),
        CParameter::ContentSizeFlag(false),
        CParameter::EnableLongDistanceMatching(far.is_some()),
    ];
    context.reset(ResetDirective::SessionAndParameters)?;
    for parameter in parameters {
        context.set_parameter(parameter)?;
    }
    if let Some(reach) = far {
        let window = reach.next_power_of_two().ilog2().clamp(*WINDOW.start(), *WINDOW.end());
        context.set_parameter(CParameter::WindowLog(window))?;
    }
    if !prefix.is_empty() {
        // SAFETY: the context forgets the prefix after the frame it is for, before this function ends; if compression
        // fails, the context is dropped.
        context.ref_prefix(unsafe { core::mem::transmute::<&[u8], &'static [u8]>(prefix) })?;
    }
    context.compress2(&mut frame, content)?;
    frame.shrink_to_fit();
    Ok(frame)
}

/// Decompresses frames with a total size of `size` bytes; `None` if they are damaged or longer. Never allocates more.
pub fn decompress(prefix: &[u8], frames: &[u8], size: usize) -> Option<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let context = slot.get_or_insert_with(DCtx::create);
        let mut content: Vec<u8> = Vec::new();
        content.try_reserve_exact(size).ok()?;
        let result = (|| {
            context.reset(ResetDirective::SessionAndParameters)?;
            context.set_parameter(DParameter::Format(FrameFormat::Magicless))?;
            if !prefix.is_empty() {
                // SAFETY: the context forgets the prefix below.
                context.ref_prefix(unsafe { core::mem::transmute::<&[u8], &'static [u8]>(prefix) })?;
            }
            context.decompress(&mut content, frames)
        })();
        // Discards a prefix that no frame consumed.
        if result.is_err() || context.reset(ResetDirective::SessionAndParameters).is_err() {
            *slot = None;
        }
        (result.is_ok() && content.len() == size).then_some(content)
    })
}
