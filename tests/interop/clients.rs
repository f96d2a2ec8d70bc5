//! How each client is told to seed the six torrents and to leave the rest of the world alone.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::namespace::Namespace;
use crate::peer_process::PeerProcess;
use crate::seeding::SeedFolder;

/// One process, all torrents on one port.
pub(crate) fn libtorrent(
    python: &Path,
    work: &Path,
    address: SocketAddr,
    flags: &[&str],
    torrents: &[(&Path, &Path)],
) -> PeerProcess {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/libtorrent_peer.py");
    let mut command: Vec<OsString> = vec![python.into(), script.into(), address.to_string().into()];
    command.extend(flags.iter().map(OsString::from));
    command.extend(torrents.iter().flat_map(|(torrent, data)| [torrent.into(), data.into()]));
    PeerProcess::start(work, &command)
}

/// One process, all torrents on one port. `-V` makes it check the data, so that it knows itself a seed.
pub(crate) fn aria2(program: &Path, folder: &SeedFolder, port: u16) -> PeerProcess {
    let mut command: Vec<OsString> = vec![program.into()];
    let flags = ["--no-conf", "-V", "--seed-ratio=0", "--enable-dht=false", "--bt-enable-lpd=false", "-j20"];
    command.extend(flags.iter().map(OsString::from));
    command.push(format!("--listen-port={port}").into());
    command.extend(["-d".into(), folder.data().into()]);
    command.extend(folder.torrents().iter().map(OsString::from));
    PeerProcess::start(&folder.client(), &command)
}

/// One process for each torrent, for it takes one only, each with its port, all in the namespace.
pub(crate) fn transmission(
    program: &Path,
    folder: &SeedFolder,
    namespace: &Namespace,
    ports: &[u16],
) -> Vec<PeerProcess> {
    let settings = r#"{"dht-enabled": false, "lpd-enabled": false, "utp-enabled": false,
        "port-forwarding-enabled": false, "rpc-enabled": false}"#;
    let one = |(torrent, port): (&PathBuf, &u16)| {
        let work = folder.client().join(port.to_string());
        fs::create_dir(&work).expect("the test's folder takes a folder");
        fs::write(work.join("settings.json"), settings).expect("the test's folder takes a file");
        let mut command: Vec<OsString> = namespace.enter().map(OsString::from).to_vec();
        command.extend([
            program.into(),
            "-g".into(),
            work.clone().into(),
            "-p".into(),
            port.to_string().into(),
        ]);
        command.extend(["-M", "-et", "-v", "-w"].map(OsString::from));
        command.extend([folder.data().into(), torrent.into()]);
        PeerProcess::start(&work, &command)
    };
    folder.torrents().iter().zip(ports).map(one).collect()
}

/// One process, all torrents on one port.
pub(crate) fn qbittorrent(program: &Path, folder: &SeedFolder, port: u16, web_port: u16) -> PeerProcess {
    let profile = folder.client().join("qBittorrent/config");
    fs::create_dir_all(&profile).expect("the test's folder takes a folder");
    let settings = format!(
        "[LegalNotice]\nAccepted=true\n\n\
         [BitTorrent]\nSession\\Port={port}\nSession\\DHTEnabled=false\nSession\\LSDEnabled=false\n\
         Session\\PeXEnabled=false\nSession\\QueueingSystemEnabled=false\nSession\\MultiConnectionsPerIp=true\n\
         Session\\Preallocation=false\nSession\\AddTorrentPaused=false\n\n\
         [Network]\nPortForwardingEnabled=false\n\n\
         [Preferences]\nWebUI\\Address=127.0.0.1\nWebUI\\Port={web_port}\nWebUI\\UseUPnP=false\n"
    );
    fs::write(profile.join("qBittorrent.conf"), settings).expect("the test's folder takes a file");
    let option = |name: &str, path: PathBuf| {
        let mut option = OsString::from(name);
        option.push(path);
        option
    };
    let mut command: Vec<OsString> = vec![program.into()];
    command.push(option("--profile=", folder.client()));
    command.push(option("--save-path=", folder.data()));
    command.extend(folder.torrents().iter().map(OsString::from));
    PeerProcess::start(&folder.client(), &command)
}

/// One process, all torrents on one port; as a daemon, for it wants a terminal otherwise.
pub(crate) fn rtorrent(program: &Path, folder: &SeedFolder, port: u16) -> PeerProcess {
    let mut settings = format!(
        "system.daemon.set = true\nnetwork.port_range.set = {port}-{port}\nnetwork.port_random.set = no\n\
         dht.mode.set = disable\nprotocol.pex.set = no\ntrackers.use_udp.set = no\n\
         directory.default.set = \"{}\"\n",
        folder.data().display()
    );
    for torrent in folder.torrents() {
        settings += &format!("schedule2 = {0}, 0, 0, ((load.start, \"{0}\"))\n", torrent.display());
    }
    let file = folder.client().join("rtorrent.rc");
    fs::write(&file, settings).expect("the test's folder takes a file");
    let import = format!("import={}", file.display());
    PeerProcess::start(
        &folder.client(),
        &[program.as_os_str(), "-n".as_ref(), "-o".as_ref(), import.as_ref()],
    )
}

/// One process for each torrent, for its download command takes one only.
pub(crate) fn rqbit(program: &Path, folder: &SeedFolder, ports: &[u16]) -> Vec<PeerProcess> {
    let one = |(torrent, port): (&PathBuf, &u16)| {
        let work = folder.client().join(port.to_string());
        fs::create_dir(&work).expect("the test's folder takes a folder");
        let mut command: Vec<OsString> = vec![program.into()];
        let flags = ["--disable-dht", "--disable-lsd", "--disable-upnp-port-forward"];
        command.extend(flags.map(OsString::from));
        command.extend(
            ["--http-api-listen-addr", "127.0.0.1:0", "--listen-ip", "127.0.0.1"].map(OsString::from),
        );
        command.extend(["--listen-port".into(), port.to_string().into()]);
        command.extend(["download", "--overwrite", "-o"].map(OsString::from));
        command.extend([folder.data().into(), torrent.into()]);
        PeerProcess::start(&work, &command)
    };
    folder.torrents().iter().zip(ports).map(one).collect()
}

/// One process without torrents, that answers other programs at `api`.
pub(crate) fn rqbit_server(program: &Path, work: &Path, api: SocketAddr) -> PeerProcess {
    let mut command: Vec<OsString> = vec![program.into()];
    let flags = ["--disable-dht", "--disable-lsd", "--disable-upnp-port-forward", "--disable-trackers"];
    command.extend(flags.map(OsString::from));
    command
        .extend(["--listen-ip", "127.0.0.1", "--http-api-listen-addr", &api.to_string()].map(OsString::from));
    command.extend(["server", "start", "--disable-persistence"].map(OsString::from));
    command.push(work.join("out").into());
    PeerProcess::start(work, &command)
}
