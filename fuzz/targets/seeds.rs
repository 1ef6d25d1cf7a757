//! `fuzz-seeds TARGET DIRECTORY`: writes the seeds of a target as files.

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [target, directory] = arguments.as_slice() else {
        return Err(std::io::Error::other("fuzz-seeds TARGET DIRECTORY"));
    };
    for (index, seed) in fuzz::seeds::of(target).iter().enumerate() {
        std::fs::write(std::path::Path::new(directory).join(index.to_string()), seed)?;
    }
    Ok(())
}
