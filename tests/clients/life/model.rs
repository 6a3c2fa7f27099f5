//! What the operations should do, without a database.

use std::collections::{BTreeMap, BTreeSet};

use super::answers::{Change, Listed, Said, VersionSaid};
use super::files::{Files, Live, Shown};
use super::ops::{Expected, Facts, MISSING, OWNER, Op, Pick, STRANGER, VIEWER};

pub type Number = (i32, i32, i32);

/// What is refused by its SQLSTATE, and by the state of a version or build that is in the way.
pub type Predicted<T> = Result<T, &'static str>;

const UNKNOWN: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// The place of a state of all files in `Model::cuts`.
type Cut = usize;

#[derive(Clone, Debug, PartialEq)]
pub struct Build {
    pub id: String,
    /// The id that its version has if there is one.
    pub version_id: String,
    pub status: &'static str,
    pub cut: Option<Cut>,
    who: usize,
}

/// A version of the project.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    build: usize,
    number: Number,
    change: &'static str,
    is_default: bool,
    prerelease: Option<&'static str>,
    name: Option<&'static str>,
    preview: Option<&'static str>,
    comment: Option<&'static str>,
    needs_rebuild: bool,
    parent: Option<usize>,
    files_changed: i32,
    cut: Cut,
    pub published: bool,
    published_by: Option<usize>,
    pub deleted: bool,
    /// Whether it has lost files.
    pub pruned: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub files: Files,
    cuts: Vec<Shown>,
    /// How many of them are not listed.
    aged: usize,
    pub builds: Vec<Build>,
    /// In the order of their creation.
    pub versions: Vec<Version>,
    /// The highest number ever given.
    highest: Option<Number>,
    /// Build and version of another project.
    foreign: (String, String),
}

impl Model {
    /// A project that its owner has just created, with its first build.
    pub fn new(build: (String, String), foreign: (String, String)) -> Model {
        let (files, highest) = (Files::default(), None);
        let mut model =
            Model { files, cuts: Vec::new(), aged: 0, builds: Vec::new(), versions: Vec::new(), highest, foreign };
        model.add_build(OWNER);
        model.name_build(build);
        model
    }

    fn add_build(&mut self, who: usize) {
        let ids = (String::new(), String::new());
        self.builds.push(Build { id: ids.0, version_id: ids.1, status: "started", cut: None, who });
    }

    /// Remembers the ids that the database gave to the build started last and to its version.
    pub fn name_build(&mut self, (id, version_id): (String, String)) {
        let build = self.builds.last_mut().expect("one was started");
        (build.id, build.version_id) = (id, version_id);
    }

    /// The number that an operation on a path expects.
    pub fn expected(&self, path: usize, expected: Expected) -> Option<i32> {
        match expected {
            Expected::Anything => None,
            Expected::Current => Some(self.files.newest(path).map_or(0, |file| self.files.number(file))),
            Expected::Number(number) => Some(number),
        }
    }

    fn version(&self, pick: Pick) -> Option<usize> {
        picked(pick, self.versions.len())
    }

    /// The id of what was picked; those missing are one reserved for a version to come, another project's, and none at all.
    pub fn version_id(&self, pick: Pick) -> String {
        let coming = self.builds.last().filter(|build| build.status != "deployed");
        match (self.version(pick), coming) {
            (Some(version), _) => self.id_of(version),
            (None, Some(build)) if pick.is_multiple_of(3) => build.version_id.clone(),
            (None, _) if pick % 3 == 1 => self.foreign.1.clone(),
            (None, _) => UNKNOWN.to_owned(),
        }
    }

    fn build(&self, pick: Pick) -> Option<usize> {
        picked(pick, self.builds.len())
    }

    pub fn build_id(&self, pick: Pick) -> String {
        match self.build(pick) {
            Some(build) => self.builds[build].id.clone(),
            None if pick.is_multiple_of(2) => self.foreign.0.clone(),
            None => UNKNOWN.to_owned(),
        }
    }

    pub fn id_of(&self, version: usize) -> String {
        self.builds[self.versions[version].build].version_id.clone()
    }

    /// The newest version that is not deleted, and whose files are there.
    pub fn current(&self) -> Option<usize> {
        self.versions.iter().rposition(|version| !(version.deleted || version.pruned))
    }

    /// What a call that tells about a version says.
    pub fn said(&self, version: usize) -> VersionSaid {
        let shown = &self.versions[version];
        let text = |text: Option<&str>| text.map(str::to_owned);
        VersionSaid {
            id: self.id_of(version),
            number: shown.number,
            prerelease: text(shown.prerelease),
            change: shown.change.to_owned(),
            is_default: shown.is_default,
            name: text(shown.name),
            preview: text(shown.preview),
            comment: text(shown.comment),
            needs_rebuild: shown.needs_rebuild,
            parent: shown.parent.map(|parent| self.id_of(parent)),
            files_changed: shown.files_changed,
            published: shown.published,
            published_by: shown.published_by,
            user: self.builds[shown.build].who,
            deleted: shown.deleted,
        }
    }

    pub fn parent(&self, version: usize) -> Option<usize> {
        self.versions[version].parent
    }

    fn cut(&mut self) -> Cut {
        self.cuts.push(self.files.now());
        self.cuts.len() - 1
    }

    /// The live files of a cut.
    fn live(&self, cut: Cut) -> Live {
        self.files.live(&self.cuts[cut])
    }

    /// Forgets what is listed, unless the cut of an active build needs it; whether it did.
    pub fn age(&mut self) -> bool {
        let is_needed = self.builds.iter().any(|build| build.status == "started" && build.cut.is_some());
        if !is_needed {
            self.aged = self.cuts.len();
        }
        !is_needed
    }

    pub fn files_of(&self, version: usize) -> Live {
        self.live(self.versions[version].cut)
    }

    fn succeed(&mut self, build: usize, facts: &Facts) -> Predicted<Said> {
        match self.builds[build].status {
            "started" => {}
            "deployed" => {
                let version = self.versions.iter().position(|version| version.build == build);
                return Ok(Said::Version(self.said(version.expect("it has one"))));
            }
            status => return Err(has_ended(status)),
        }
        let asked = facts.change.flatten();
        let (number, change) = match self.highest {
            None => ((1, 0, 0), "major"),
            Some(highest) => {
                let change = asked.unwrap_or("minor");
                (after(highest, change), change)
            }
        };
        self.highest = Some(number);
        let parent = self.current();
        let cut = self.builds[build].cut.unwrap_or_else(|| self.cut());
        let before = parent.map(|parent| self.files_of(parent)).unwrap_or_default();
        self.builds[build].status = "deployed";
        self.versions.push(Version {
            build,
            number,
            change,
            is_default: asked.is_none(),
            prerelease: facts.prerelease.flatten(),
            name: facts.name.flatten(),
            preview: facts.preview.flatten(),
            comment: facts.comment.flatten(),
            needs_rebuild: facts.needs_rebuild.flatten().unwrap_or(false),
            parent,
            files_changed: changes(&before, &self.live(cut)).len() as i32,
            cut,
            published: false,
            published_by: None,
            deleted: false,
            pruned: false,
        });
        Ok(Said::Version(self.said(self.versions.len() - 1)))
    }

    fn describe(&mut self, version: usize, facts: &Facts) -> Predicted<()> {
        let Version { change, is_default, published, .. } = self.versions[version];
        if let Some(asked) = facts.change.flatten() {
            if asked != change {
                if !is_default {
                    return Err("PT409 classified");
                }
                if published {
                    return Err("PT409 published");
                }
                let number = after(self.highest.expect("there is a version"), asked);
                self.highest = Some(number);
                self.versions[version].number = number;
                self.versions[version].change = asked;
            }
            self.versions[version].is_default = false;
        }
        let version = &mut self.versions[version];
        for (text, given) in [
            (&mut version.prerelease, facts.prerelease),
            (&mut version.name, facts.name),
            (&mut version.preview, facts.preview),
            (&mut version.comment, facts.comment),
        ] {
            *text = given.unwrap_or(*text);
        }
        version.needs_rebuild = facts.needs_rebuild.flatten().unwrap_or(version.needs_rebuild);
        Ok(())
    }

    fn publish(&mut self, who: usize, version: usize, comment: Option<&'static str>) -> Predicted<()> {
        let Version { published, deleted, needs_rebuild, .. } = self.versions[version];
        if published {
            return Ok(());
        }
        if deleted || needs_rebuild {
            return Err(if deleted { "PT409 deleted" } else { "PT409 needs_rebuild" });
        }
        for other in &mut self.versions {
            other.published = false;
        }
        let version = &mut self.versions[version];
        version.published = true;
        version.published_by = Some(who);
        version.comment = comment.or(version.comment);
        Ok(())
    }

    fn restore(&mut self, who: usize, version: usize, dry_run: bool) -> Predicted<Said> {
        let Version { deleted, pruned, cut, .. } = self.versions[version];
        if deleted || pruned {
            return Err(if deleted { "PT409 deleted" } else { "PT409 pruned" });
        }
        let restored = self.files.make(&self.live(cut), who, dry_run);
        Ok(Said::Restored(restored))
    }

    /// `recent`: everything is too new to be removed.
    fn prune(&mut self, path: Option<usize>, keep_last: usize, recent: bool, dry_run: bool) -> Predicted<Said> {
        let files = self.files.of_path(path);
        if path.is_some() && files.is_empty() {
            return Err("PT404");
        }
        if recent {
            return Ok(Said::Pruned(Vec::new()));
        }
        let kept =
            self.versions.iter().filter(|version| !(version.deleted || version.pruned)).map(|version| version.cut);
        let active = self.builds.iter().filter(|build| build.status == "started").filter_map(|build| build.cut);
        let kept: BTreeSet<(usize, i32)> =
            kept.chain(active).flat_map(|cut| self.cuts[cut].iter().map(|(file, version)| (*file, *version))).collect();
        let mut pruned = Vec::new();
        for file in files {
            let removed = self.files.removable(file, keep_last, |version| kept.contains(&(file, version)));
            if removed.is_empty() {
                continue;
            }
            pruned.push((self.files.path(file), removed.clone()));
            if dry_run {
                continue;
            }
            for version in self.versions.iter_mut().filter(|version| version.deleted) {
                version.pruned |= self.cuts[version.cut].get(&file).is_some_and(|shown| removed.contains(shown));
            }
            self.files.remove(file, &removed);
        }
        pruned.sort();
        Ok(Said::Pruned(pruned))
    }

    /// The files of a version, unless some of them are gone.
    fn snapshot(&self, version: Option<usize>) -> Predicted<Live> {
        let version = version.ok_or("PT404")?;
        if self.versions[version].pruned { Err("PT409 pruned") } else { Ok(self.files_of(version)) }
    }

    pub fn snapshot_of_build(&self, build: usize) -> Predicted<Live> {
        let Build { status, cut, .. } = &self.builds[build];
        match (*status, cut) {
            ("started", Some(cut)) => Ok(self.live(*cut)),
            ("started", None) => Err("PT409"),
            ("deployed", _) => self.snapshot(self.versions.iter().position(|version| version.build == build)),
            (status, _) => Err(has_ended(status)),
        }
    }

    /// Changes a version; what is said about it then.
    fn on_version(&mut self, pick: Pick, change: impl FnOnce(&mut Model, usize) -> Predicted<()>) -> Predicted<Said> {
        let version = self.version(pick).ok_or("PT404")?;
        change(self, version)?;
        Ok(Said::Version(self.said(version)))
    }

    /// Does an operation and says what its call should answer.
    pub fn run(&mut self, who: usize, op: &Op) -> Predicted<Said> {
        refuse(who, op)?;
        let one = |file| Said::Files(vec![file]);
        match op {
            Op::Save { path, content, kind, expected } => {
                let expected = self.expected(*path, *expected);
                self.files.save(who, *path, (*content, *kind), expected).map(one)
            }
            Op::Delete { path, expected } => {
                let expected = self.expected(*path, *expected);
                self.files.delete(who, *path, expected).map(one)
            }
            Op::Move { from, to, expected } => {
                let expected = self.expected(*from, *expected);
                self.files.rename(who, *from, *to, expected).map(one)
            }
            Op::Revert { path, to, expected } => {
                let expected = self.expected(*path, *expected);
                let (content, kind) = self.files.read(*path, Some(*to))?;
                let content = content.ok_or("22023")?;
                self.files.save(who, *path, (content, kind), expected).map(one)
            }
            Op::Batch(elements) => {
                let elements = elements
                    .iter()
                    .map(|element| (element.path, element.body, self.expected(element.path, element.expected)));
                let elements: Vec<_> = elements.collect();
                self.files.batch(who, &elements).map(Said::Files)
            }
            Op::Read { path, version } => self.files.get(*path, *version).map(one),
            Op::List => Ok(Said::Snapshot(listed(&self.files.live(&self.files.now())))),
            Op::Start { supersede } => {
                let newest = self.builds.last_mut().expect("there is always one");
                if newest.status == "started" {
                    if !supersede {
                        return Err("PT409");
                    }
                    newest.status = "abandoned";
                }
                self.add_build(who);
                Ok(Said::Started)
            }
            Op::Cut(pick) => {
                let build = self.build(*pick).ok_or("PT404")?;
                if self.builds[build].status != "started" {
                    return Err(has_ended(self.builds[build].status));
                }
                if self.builds[build].cut.is_none() {
                    self.builds[build].cut = Some(self.cut());
                }
                Ok(self.said_of_build(build))
            }
            Op::Succeed(pick, facts) => {
                let build = self.build(*pick).ok_or("PT404")?;
                self.succeed(build, facts)
            }
            Op::Fail(pick) => {
                let build = self.build(*pick).ok_or("PT404")?;
                match self.builds[build].status {
                    "deployed" => return Err(has_ended("deployed")),
                    "started" => self.builds[build].status = "failed",
                    _ => {}
                }
                Ok(self.said_of_build(build))
            }
            Op::BuildFiles(pick) => {
                let build = self.build(*pick).ok_or("PT404")?;
                self.snapshot_of_build(build).map(|live| Said::Snapshot(listed(&live)))
            }
            Op::Describe(pick, facts) => self.on_version(*pick, |model, version| model.describe(version, facts)),
            Op::Publish(pick, comment) => {
                self.on_version(*pick, |model, version| model.publish(who, version, *comment))
            }
            Op::Unpublish(pick) => self.on_version(*pick, |model, version| {
                model.versions[version].published = false;
                Ok(())
            }),
            Op::Remove(pick) => self.on_version(*pick, |model, version| {
                let version = &mut model.versions[version];
                version.deleted = version.deleted || !version.published;
                if version.deleted { Ok(()) } else { Err("PT409 published") }
            }),
            Op::BringBack(pick) => self.on_version(*pick, |model, version| {
                model.versions[version].deleted = false;
                Ok(())
            }),
            Op::Restore { version, dry_run } => {
                let version = self.version(*version).ok_or("PT404")?;
                self.restore(who, version, *dry_run)
            }
            Op::Prune { path, keep_last, newer_than, dry_run } => {
                let keep_last = keep_last.unwrap_or(0) as usize;
                self.prune(*path, keep_last, *newer_than == Some("1 hour"), *dry_run)
            }
            Op::VersionFiles(pick) => self.snapshot(self.version(*pick)).map(|live| Said::Snapshot(listed(&live))),
            Op::Diff { from, to, .. } => {
                let from = self.snapshot(self.version(*from))?;
                let to = match to {
                    Some(to) => self.snapshot(self.version(*to))?,
                    None => self.files.live(&self.files.now()),
                };
                Ok(Said::Changes(changes(&from, &to)))
            }
            Op::Swap(..) | Op::Discard(_) | Op::Age | Op::Compare => Ok(Said::Nothing),
        }
    }

    fn said_of_build(&self, build: usize) -> Said {
        let build = &self.builds[build];
        Said::Build { status: build.status.to_owned(), is_cut: build.cut.is_some() }
    }
}

/// Refuses arguments that cannot be, and actors who may not.
fn refuse(who: usize, op: &Op) -> Predicted<()> {
    match op {
        Op::Describe(_, facts) if facts.change == Some(None) || facts.needs_rebuild == Some(None) => {
            return Err("22023");
        }
        Op::Age | Op::Compare => return Ok(()),
        _ => {}
    }
    let reads = matches!(op, Op::Read { .. } | Op::List | Op::BuildFiles(_) | Op::VersionFiles(_) | Op::Diff { .. });
    let is_owners = matches!(op, Op::Prune { .. });
    match who {
        STRANGER => Err("PT404"),
        VIEWER if !reads => Err("42501"),
        _ if is_owners && who != OWNER => Err("42501"),
        _ => Ok(()),
    }
}

fn picked(pick: Pick, count: usize) -> Option<usize> {
    if pick < MISSING && count > 0 { Some(count - 1 - pick % count) } else { None }
}

fn has_ended(status: &str) -> &'static str {
    match status {
        "deployed" => "PT409 deployed",
        "failed" => "PT409 failed",
        _ => "PT409 abandoned",
    }
}

fn after((major, minor, patch): Number, change: &str) -> Number {
    match change {
        "major" => (major + 1, 0, 0),
        "minor" => (major, minor + 1, 0),
        _ => (major, minor, patch + 1),
    }
}

/// The rows in which calls show files.
pub fn listed(live: &Live) -> Vec<Listed> {
    let mut rows: Vec<Listed> = live.values().map(|file| (file.path, file.version, file.content, file.kind)).collect();
    rows.sort();
    rows
}

/// What happened at each path, as `diff_project_versions` shows it.
pub fn changes(from: &Live, to: &Live) -> Vec<Change> {
    let heirs: BTreeMap<usize, usize> = to.iter().map(|(file, new)| (new.path, *file)).collect();
    let mut changes = Vec::new();
    // Files that are at the path of one that is gone: they count as that one, and as gone from where they were.
    let mut taken = BTreeSet::new();
    let mut gone: Vec<usize> = from.keys().filter(|file| !to.contains_key(file)).copied().collect();
    while let Some(file) = gone.pop() {
        let old = &from[&file];
        let Some(heir) = heirs.get(&old.path) else {
            changes.push((old.path, None, "deleted"));
            continue;
        };
        taken.insert(*heir);
        if !old.is_same(&to[heir]) {
            changes.push((old.path, None, "modified"));
        }
        gone.extend(from.contains_key(heir).then_some(*heir));
    }
    for (file, new) in to.iter().filter(|(file, _)| !taken.contains(file)) {
        match from.get(file) {
            None => changes.push((new.path, None, "added")),
            Some(old) if old.path != new.path => changes.push((new.path, Some(old.path), "moved")),
            Some(old) if !old.is_same(new) => changes.push((new.path, None, "modified")),
            Some(_) => {}
        }
    }
    changes.sort();
    changes
}
