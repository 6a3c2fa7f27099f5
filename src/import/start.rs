//! What an import begins with: who calls it, and whether it may write.

use crate::backend::{Answer, Call, Db, connect};
use crate::caller::Caller;
use crate::error::Error;
use crate::input;

/// Runs `import` with the mapping, which is argument number `mapping`, and whether it is a dry run, which is the argument
/// after it. 42501 unless the caller is privileged, 22023 if one of the two is NULL, 25006 if nothing can be written.
pub fn start(
    call: &Call,
    mapping: usize,
    what: &'static str,
    import: impl FnOnce(&Call, Caller, &Db, &str, bool) -> Result<Answer, Error>,
) -> Result<Answer, Error> {
    let is_dry_run: bool = input::required(call.argument(mapping + 1), "p_dry_run")?;
    if !is_dry_run {
        call.refuse_read_only();
    }
    let caller = Caller::identify(call)?;
    if !caller.privileged {
        return Err(Error::NotPrivileged(what));
    }
    let json = input::required(call.jsonb_argument(mapping), "p_mapping")?;
    connect(call, |db| import(call, caller, db, json.as_str().ok_or(Error::Internal)?, is_dry_run))
}
