//! Which file says what, and what of it is in force: pure.
//!
//! A file is taken whole or not at all; an object belongs to the file that had it first. Every
//! call gives the changes that bring the cluster from what was in force to what is now.

use std::collections::{BTreeMap, HashMap, btree_map::Entry};

use netpol_api::InvalidObject as Report;
use netpol_policy::{Change, InvalidObject, Object, ObjectRef};

use super::parse::Contents;

/// The objects of a directory's files.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// By name, so that an order exists when two files take over from a third.
    files: BTreeMap<String, File>,
    /// The file whose version of an object is in force.
    owners: HashMap<ObjectRef, String>,
}

#[derive(Debug, Default)]
struct File {
    objects: BTreeMap<ObjectRef, Object>,
    problems: Vec<Problem>,
}

#[derive(Debug)]
enum Problem {
    /// The file as a whole.
    Unreadable(String),
    /// One of its objects; the second part tells whether an older version is kept.
    Invalid(InvalidObject, bool),
    /// One of its objects is there twice.
    Twice(ObjectRef),
}

impl Catalog {
    /// Takes what a file holds now.
    pub(crate) fn set(&mut self, name: &str, contents: Contents) -> Vec<Change> {
        let before = self.files.remove(name).unwrap_or_default();
        let mut file = File::default();
        for (reference, object) in contents.objects {
            match file.objects.entry(reference) {
                Entry::Vacant(place) => drop(place.insert(object)),
                Entry::Occupied(first) => file.problems.push(Problem::Twice(first.key().clone())),
            }
        }
        for invalid in contents.invalid {
            let reference = invalid.object.as_ref();
            let last_good = reference.and_then(|reference| before.objects.get_key_value(reference));
            if let Some((reference, object)) = last_good {
                let place = file.objects.entry(reference.clone());
                place.or_insert_with(|| object.clone());
            }
            let kept = last_good.is_some();
            file.problems.push(Problem::Invalid(invalid, kept));
        }
        self.files.insert(name.to_owned(), file);
        self.settle(name, before.objects)
    }

    /// Keeps what a file held, since it cannot be read now.
    pub(crate) fn set_unreadable(&mut self, name: &str, reason: String) {
        let file = self.files.entry(name.to_owned()).or_default();
        file.problems = vec![Problem::Unreadable(reason)];
    }

    /// Takes that a file is gone.
    pub(crate) fn remove(&mut self, name: &str) -> Vec<Change> {
        let before = self.files.remove(name).unwrap_or_default();
        self.settle(name, before.objects)
    }

    /// The files there are.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.files.keys()
    }

    /// How many objects are in force.
    pub(crate) fn objects(&self) -> usize {
        self.owners.len()
    }

    /// The file that an object in force is from.
    pub(crate) fn owner(&self, reference: &ObjectRef) -> Option<&str> {
        self.owners.get(reference).map(String::as_str)
    }

    /// What is wrong, by file.
    pub(crate) fn reports(&self) -> Vec<Report> {
        let mut reports = Vec::new();
        for (name, file) in &self.files {
            let problems = file.problems.iter();
            reports.extend(problems.map(|problem| report(name, file, problem)));
            for reference in file.objects.keys() {
                if let Some(owner) = self.owners.get(reference).filter(|owner| *owner != name) {
                    reports.push(Report {
                        file: Some(name.clone()),
                        object: Some(reference.to_string()),
                        field: None,
                        reason: format!("{owner} has the same object"),
                        effect: format!("the one of {owner} is in force, this one is not"),
                    });
                }
            }
        }
        reports
    }

    /// Sentences about the files that cannot be read.
    pub(crate) fn unreadable(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for (name, file) in &self.files {
            for problem in &file.problems {
                if let Problem::Unreadable(reason) = problem {
                    sentences.push(format!("{name} cannot be read: {reason}"));
                }
            }
        }
        sentences
    }

    /// Brings ownership in line after one file changed.
    fn settle(&mut self, name: &str, before: BTreeMap<ObjectRef, Object>) -> Vec<Change> {
        let mut changes = Vec::new();
        for (reference, old) in before {
            if self.owner(&reference) != Some(name) {
                continue;
            }
            let now = self
                .files
                .get(name)
                .and_then(|file| file.objects.get(&reference));
            match now {
                Some(object) if *object == old => {}
                Some(object) => changes.push(Change::Set(object.clone())),
                None => changes.push(self.hand_over(reference)),
            }
        }
        let Some(file) = self.files.get(name) else {
            return changes;
        };
        for (reference, object) in &file.objects {
            if !self.owners.contains_key(reference) {
                self.owners.insert(reference.clone(), name.to_owned());
                changes.push(Change::Set(object.clone()));
            }
        }
        changes
    }

    /// Gives an object whose file no longer has it to the next file that does.
    fn hand_over(&mut self, reference: ObjectRef) -> Change {
        let next = self
            .files
            .iter()
            .find_map(|(name, file)| Some((name, file.objects.get(&reference)?)));
        match next {
            Some((name, object)) => {
                self.owners.insert(reference, name.clone());
                Change::Set(object.clone())
            }
            None => {
                self.owners.remove(&reference);
                Change::Remove(reference)
            }
        }
    }
}

fn report(name: &str, file: &File, problem: &Problem) -> Report {
    let (object, field, reason, effect) = match problem {
        Problem::Unreadable(reason) if file.objects.is_empty() => (
            None,
            None,
            reason.clone(),
            "none of its objects is in force",
        ),
        Problem::Unreadable(reason) => (
            None,
            None,
            reason.clone(),
            "its last good objects stay in force",
        ),
        Problem::Invalid(invalid, kept) => (
            invalid.object.as_ref().map(ToString::to_string),
            Some(invalid.field.clone()),
            invalid.reason.clone(),
            if *kept {
                "its last good version stays in force"
            } else {
                "it is not in force"
            },
        ),
        Problem::Twice(reference) => (
            Some(reference.to_string()),
            None,
            "the file has the same object before".to_owned(),
            "the first one is in force, this one is not",
        ),
    };
    Report {
        file: Some(name.to_owned()),
        object,
        field,
        reason,
        effect: effect.to_owned(),
    }
}

#[cfg(test)]
mod tests;
