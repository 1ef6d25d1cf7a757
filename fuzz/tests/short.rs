//! The seeds of every fuzz target and mutations of them, always the same ones.

/// Mutations of each seed; the long form is `cargo xtask fuzz`.
const MUTATIONS: usize = 40;

/// Longest input, in bytes.
const LENGTH: usize = 512;

/// A generator that needs no more than to be different each time (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (bound.max(1) as u64)).expect("below a usize")
    }

    fn slice<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let start = self.below(bytes.len());
        let end = start + self.below((bytes.len() - start).min(40) + 1);
        &bytes[start..end]
    }

    /// Changes an input in one to four places: cuts, copies, tokens, bytes, parts of another one.
    fn mutate(&mut self, input: &[u8], other: &[u8], tokens: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let insert = match self.below(5) {
                0 => {
                    let end = at + self.below((bytes.len() - at).min(20) + 1);
                    bytes.drain(at..end);
                    continue;
                }
                1 => self.slice(&bytes).to_vec(),
                2 => self.slice(other).to_vec(),
                3 => vec![u8::try_from(self.below(256)).expect("a byte")],
                _ => tokens[self.below(tokens.len())].clone(),
            };
            bytes.splice(at..at, insert);
        }
        bytes.truncate(LENGTH);
        bytes
    }
}

/// Reads a dictionary: a quoted string a line, with `\\`, `\"` and `\xNN`.
fn tokens(dictionary: &str) -> Vec<Vec<u8>> {
    let token = |line: &str| {
        let line = line.strip_prefix('"')?.strip_suffix('"')?.as_bytes();
        let (mut token, mut at) = (Vec::new(), 0);
        while at < line.len() {
            let (byte, length) = match &line[at..] {
                [b'\\', b'x', high, low, ..] => {
                    let digits = [*high, *low];
                    let digits = std::str::from_utf8(&digits).ok()?;
                    (u8::from_str_radix(digits, 16).ok()?, 4)
                }
                [b'\\', other, ..] => (*other, 2),
                rest => (rest[0], 1),
            };
            token.push(byte);
            at += length;
        }
        Some(token)
    };
    dictionary.lines().filter(|line| !line.is_empty()).map(|line| token(line).expect("a quoted token")).collect()
}

fn run(target: &str) {
    let check = fuzz::seeds::target(target).expect("a target");
    let seeds = fuzz::seeds::of(target);
    assert!(seeds.len() > 10, "{target} has seeds");
    let tokens = tokens(fuzz::seeds::dictionary(target));
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    for seed in &seeds {
        check(seed);
        for _ in 0..MUTATIONS {
            let other = &seeds[numbers.below(seeds.len())];
            check(&numbers.mutate(seed, other, &tokens));
        }
    }
}

#[test]
fn the_parser() {
    run("parse");
}

#[test]
fn the_expander() {
    run("expand");
}

#[test]
fn the_ignore_matcher() {
    run("ignore");
}
