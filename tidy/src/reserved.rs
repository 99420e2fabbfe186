//! Acts that only some files may do: read clocks, draw randomness, open sockets, make files durable, name a framework.

use crate::rust;
use crate::tree::{Tree, is_within};

/// Calls or names that are reserved for some files of the product.
#[derive(Clone, Copy, Debug)]
pub struct Reserved {
    /// The act of using one of them.
    pub act: &'static str,
    /// The spelling of each.
    pub words: &'static [&'static str],
    /// The folder that the rule is for; empty for the whole tree.
    pub within: &'static str,
    /// Files and folders that may, each with the reason. One that does not is refused, so that the list stays true.
    pub places: &'static [(&'static str, &'static str)],
}

/// The list.
pub const RESERVED: &[Reserved] = &[
    Reserved {
        act: "reads the wall clock",
        words: &["SystemTime::now", "Utc::now", "now_utc("],
        within: "",
        places: &[
            ("engine/src/clock.rs", "the clock of the engine"),
            ("storage/src/disk/map/overflow.rs", "compares the age of files that the file system dated"),
            ("server/src/demo/receiver.rs", "checks the timestamps of signatures, as a receiver does"),
            ("loadtest/src", "measures from outside"),
        ],
    },
    Reserved {
        act: "reads the monotonic clock",
        words: &["Instant::now"],
        within: "",
        places: &[
            ("engine/src/clock.rs", "the clock of the engine"),
            ("engine/src/dispatch", "deadlines of attempts and lookups, ages of idle connections"),
            ("engine/src/retention/janitor.rs", "measures its own share of the time"),
            ("engine/src/shard/run.rs", "the deadline of a stop"),
            ("engine/src/stall.rs", "measures how late a thread is"),
            ("storage/src/disk/commit/log.rs", "times the fdatasync for its metric"),
            ("storage/src/disk/checkpoint", "times a checkpoint for its metrics"),
            ("storage/src/store/busy.rs", "measures how long a thread is at one step"),
            ("storage/src/writer", "the shell of the writer: times commits and stalls"),
            ("admin-api/src/edge.rs", "times requests for their metric"),
            ("admin-api/src/rate.rs", "the clock of token buckets"),
            ("admin-api/src/usage.rs", "keeps an answer for some seconds"),
            ("admin-api/src/extract.rs", "how fast a body comes in"),
            ("server/src/listen", "deadlines of connections"),
            ("server/src/demo", "deadlines of the demonstration"),
            ("loadtest/src", "measures from outside"),
            ("benches/benches", "measures single parts"),
            ("sim/src/main.rs", "says how long the seeds took"),
        ],
    },
    Reserved {
        act: "draws randomness from the system",
        words: &["getrandom::", "rand::rng(", "rand::random", "from_os_rng", "from_entropy", "OsRng"],
        within: "",
        places: &[
            ("engine/src/partition/open.rs", "seeds the generator of each shard"),
            ("engine/src/seal/mod.rs", "nonces of sealed secrets"),
            ("engine/src/seal/envelope.rs", "private keys of envelopes"),
            ("storage/src/disk/commit/log.rs", "the salt of a log file"),
            ("control/src/command/mod.rs", "signing secrets and keys that a command makes"),
            ("control/src/key.rs", "API keys"),
            ("server/src/keys.rs", "the root key and the master key"),
        ],
    },
    Reserved {
        act: "names sled",
        words: &["::sled::", "sled::"],
        within: "",
        places: &[("storage/src/disk/map", "the embedded map")],
    },
    Reserved {
        act: "names the actor framework",
        words: &["actix::"],
        within: "",
        places: &[("engine/src/endpoint/actor.rs", "the shell of a lane")],
    },
    Reserved {
        act: "opens a socket",
        words: &[
            "TcpStream::connect",
            "TcpSocket::new",
            "TcpListener::bind",
            "UdpSocket::",
            "UnixStream::",
            "socket2::",
        ],
        within: "",
        places: &[
            ("engine/src/dispatch/connect.rs", "to receivers"),
            ("server/src/listen.rs", "listens for the API and for scrapes"),
            ("server/src/demo", "the receiver of the demonstration"),
            ("loadtest/src", "drives a server from outside"),
        ],
    },
    Reserved {
        act: "makes a file durable",
        words: &["sync_data(", "sync_all(", "fdatasync(", "fsync("],
        within: "",
        places: &[
            ("storage/src/disk", "the embedded store"),
            ("storage/src/damage/repair/swap.rs", "puts a mended store in the place of the damaged one"),
            ("storage/src/backup/folder", "backups in a folder"),
            ("server/src/secret_file.rs", "the root key and the master key"),
        ],
    },
    Reserved {
        act: "chooses a status code of the API",
        words: &["StatusCode::"],
        within: "admin-api/src",
        places: &[
            ("admin-api/src/error.rs", "every refusal and its status"),
            ("admin-api/src/cors.rs", "the answer to a preflight"),
        ],
    },
];

/// Uses of reserved words of `list` outside their places, and places without a use.
#[must_use]
pub fn check(tree: &Tree, list: &[Reserved]) -> Vec<String> {
    list.iter().flat_map(|reserved| check_one(tree, reserved)).collect()
}

fn check_one(tree: &Tree, reserved: &Reserved) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut used = vec![false; reserved.places.len()];
    for (path, file) in tree.rust().filter(|(path, _)| path.starts_with(reserved.within)) {
        let places = reserved.places.iter().enumerate().filter(|(_, (place, _))| is_within(path, place));
        let uses: Vec<usize> = reserved.words.iter().flat_map(|word| uses(&file.product, word)).collect();
        let mut is_allowed = false;
        for (at, _) in places {
            is_allowed = true;
            used[at] |= !uses.is_empty();
        }
        if !is_allowed {
            let line = |at: &usize| format!("{path}:{}: {}", rust::line(&file.product, *at), reserved.act);
            wrong.extend(uses.iter().map(line));
        }
    }
    for ((place, _), _) in reserved.places.iter().zip(used).filter(|(_, used)| !used) {
        wrong.push(format!("tidy/src/reserved.rs: nothing in {place} {} any more; take it out", reserved.act));
    }
    wrong
}

/// The places of `word` in `code`, where it is not the end of a longer name or path.
fn uses(code: &str, word: &str) -> Vec<usize> {
    let is_end = |at: usize| {
        let before = code.as_bytes()[..at].last().copied().unwrap_or(b' ');
        rust::is_name(before) || (before == b':' && !word.starts_with(char::is_uppercase))
    };
    code.match_indices(word).map(|(at, _)| at).filter(|at| !is_end(*at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[Reserved] = &[Reserved {
        act: "reads a clock",
        words: &["Instant::now", "clocks::"],
        within: "",
        places: &[("a/src/clock.rs", "it is the clock"), ("a/src/b", "why")],
    }];

    fn found(text: &str) -> Vec<String> {
        let fine = "fn f() { std::time::Instant::now() }";
        check(&Tree::of([("a/src/clock.rs", fine), ("a/src/b/c.rs", fine), ("a/src/d.rs", text)]), LIST)
    }

    #[test]
    fn a_use_elsewhere_is_seen() {
        let expected = ["a/src/d.rs:2: reads a clock"];
        assert_eq!(found("\nfn f() { Instant::now() }"), expected);
        assert_eq!(found("\nuse clocks::Clock;"), expected);
    }

    #[test]
    fn tests_comments_strings_and_other_names_are_no_use() {
        let text = "// Instant::now\n#[cfg(test)]\nmod tests { fn f() { Instant::now() } }\nconst A: &str = \"Instant::now\";\n\
                    use crate::clocks::B; fn c() { MyInstant::now() }";
        assert_eq!(found(text), Vec::<String>::new());
    }

    #[test]
    fn a_place_without_a_use_is_seen() {
        let wrong = check(&Tree::of([("a/src/clock.rs", "fn f() { Instant::now() }")]), LIST);
        assert_eq!(wrong, ["tidy/src/reserved.rs: nothing in a/src/b reads a clock any more; take it out"]);
    }
}
