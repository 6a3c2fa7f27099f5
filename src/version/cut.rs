//! Fixing what a build is made from, before it is made.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::snapshot;
use crate::args;
use crate::backend::{Answer, Call, Statement};
use crate::builds::{Build, id_argument};
use crate::caller::Role;
use crate::exclusive::Exclusive;
use crate::input;

/// See the COMMENT in `sql/versions.sql`.
#[pg_extern(sql = false)]
fn cut_project_build(project: Option<Uuid>, build_id: Option<&str>, fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    static CUT: Statement = Statement::new(
        "UPDATE {s}.project_build_metrics SET cut_at = :now, cut_snapshot_seq = :seq
          WHERE project_id = :project AND build_id = :build_id",
    );
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let build_id = id_argument(build_id, "p_build_id")?;
        Exclusive::run_prepared(call, project, Role::Editor, snapshot::lock_list, |exclusive, ()| {
            let Exclusive { db, now, .. } = *exclusive;
            let build = Build::find(exclusive, &build_id)?;
            if build.status != "started" {
                return Err(build.ended(project));
            }
            if snapshot::of_build(db, project, &build_id).is_none() {
                exclusive.refuse_unseen_saves()?;
                let seq = snapshot::cut(exclusive)?.seq;
                db.run(&CUT, &args! { project, build_id: build_id.as_str(), now, seq });
            }
            Ok(build.row(exclusive))
        })
    })
}
