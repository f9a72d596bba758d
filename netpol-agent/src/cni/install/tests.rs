use std::os::unix::fs::symlink;

use super::*;

const LIST: &str = "{\n  \"cniVersion\": \"1.0.0\",\n  \"name\": \"n\",\n  \"plugins\": [\n    \
                    {\"type\": \"bridge\", \"mtu\": 1500}\n  ]\n}\n";
const SINGLE: &str = "{\"cniVersion\": \"0.4.0\", \"name\": \"n\", \"type\": \"ptp\"}\n";

struct Node {
    _root: tempfile::TempDir,
    directories: Directories,
    installer: Installer,
}

impl Node {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let directories = Directories {
            conf: root.path().join("net.d"),
            bin: root.path().join("bin"),
        };
        fs::create_dir(&directories.conf).expect("made");
        let plugin = root.path().join("plugin");
        fs::write(&plugin, "a program").expect("written");
        let socket = Path::new("/run/netpol/agent.sock");
        Self {
            installer: Installer::new(directories.clone(), plugin, socket),
            directories,
            _root: root,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directories.conf.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("there")
    }

    fn names(&self) -> Vec<String> {
        names(&self.directories.conf).expect("listed")
    }

    fn install(&mut self) -> String {
        let path = self.installer.install().expect("installed");
        let name = path.file_name().expect("a file");
        name.to_string_lossy().into_owned()
    }

    fn remove(&self) {
        remove(&self.directories).expect("removed");
        assert!(!self.directories.bin.join(conflist::TYPE).exists());
    }
}

fn plugins(text: &str) -> Vec<String> {
    let value: Value = serde_json::from_str(text).expect("JSON");
    let plugins = value["plugins"].as_array().expect("a list").iter();
    plugins
        .map(|plugin| plugin["type"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn a_list_gets_the_entry_once_and_is_restored_to_the_byte() {
    let mut node = Node::new();
    node.write("20-other.conflist", LIST);
    node.write("10-main.conflist", LIST);
    assert_eq!(node.install(), "10-main.conflist");
    let first = node.read("10-main.conflist");
    assert_eq!(plugins(&first), ["bridge", "netpol-cni"]);
    assert_eq!(node.install(), "10-main.conflist");
    assert_eq!(node.read("10-main.conflist"), first);
    assert_eq!(node.read("20-other.conflist"), LIST, "not the runtime's");
    assert!(is_executable(&node.directories.bin.join("netpol-cni")));
    node.remove();
    assert_eq!(node.read("10-main.conflist"), LIST);
    assert_eq!(node.names(), ["10-main.conflist", "20-other.conflist"]);
}

#[test]
fn what_the_main_plugin_writes_later_is_edited_and_kept() {
    let mut node = Node::new();
    node.write("10-main.conflist", LIST);
    node.install();
    let changed = LIST.replace("1500", "9000");
    node.write("10-main.conflist", &changed);
    node.install();
    assert_eq!(plugins(&node.read("10-main.conflist")).len(), 2);
    // Another tool puts itself behind.
    let with = node.read("10-main.conflist");
    let behind = with.replace("\n  ]", ", {\"type\": \"z\"}\n  ]");
    node.write("10-main.conflist", &behind);
    node.install();
    assert_eq!(node.read("10-main.conflist"), behind);
    node.remove();
    let without = changed.replace("\n  ]", ", {\"type\": \"z\"}\n  ]");
    assert_eq!(node.read("10-main.conflist"), without);
}

#[test]
fn a_single_configuration_is_set_aside_and_comes_back() {
    let mut node = Node::new();
    node.write("10-main.conf", SINGLE);
    assert_eq!(node.install(), "10-main.conf.conflist");
    assert_eq!(
        node.names(),
        ["10-main.conf.conflist", "10-main.conf.netpol-saved"]
    );
    let list = node.read("10-main.conf.conflist");
    assert_eq!(plugins(&list), ["ptp", "netpol-cni"]);
    assert_eq!(node.install(), "10-main.conf.conflist");
    assert_eq!(node.read("10-main.conf.conflist"), list);
    // The main plugin writes its file anew.
    let changed = SINGLE.replace("\"n\"", "\"m\"");
    node.write("10-main.conf", &changed);
    assert_eq!(node.install(), "10-main.conf.conflist");
    assert!(
        node.read("10-main.conf.conflist")
            .contains("\"name\": \"m\"")
    );
    node.remove();
    assert_eq!(node.names(), ["10-main.conf"]);
    assert_eq!(node.read("10-main.conf"), changed);
}

#[test]
fn a_symbolic_link_is_one_again_afterwards() {
    let mut node = Node::new();
    let target = node.directories.conf.with_file_name("elsewhere");
    fs::write(&target, LIST).expect("written");
    symlink(&target, node.path("10-main.conflist")).expect("linked");
    assert_eq!(node.install(), "10-main.conflist.conflist");
    assert_eq!(fs::read_to_string(&target).expect("there"), LIST);
    assert_eq!(plugins(&node.read("10-main.conflist.conflist")).len(), 2);
    assert_eq!(node.install(), "10-main.conflist.conflist");
    node.remove();
    assert_eq!(node.names(), ["10-main.conflist"]);
    assert!(node.path("10-main.conflist").is_symlink());
}

#[test]
fn what_is_half_written_is_waited_for() {
    let mut node = Node::new();
    let error = node.installer.install().expect_err("nothing is there");
    assert!(matches!(error, InstallError::Nothing(_)), "{error}");
    node.write("10-main.conflist", &LIST[..40]);
    node.write("20-next.conflist", LIST);
    let error = node.installer.install().expect_err("half is there");
    assert!(error.to_string().contains("10-main.conflist"), "{error}");
    assert_eq!(node.read("10-main.conflist"), LIST[..40]);
    // A runtime that takes the next one then finds the entry there.
    assert_eq!(plugins(&node.read("20-next.conflist")).len(), 2);
    node.write("10-main.conflist", LIST);
    assert_eq!(node.install(), "10-main.conflist");
    node.remove();
    assert_eq!(node.read("20-next.conflist"), LIST);
}

#[test]
fn a_writer_that_had_the_file_open_is_heard() {
    use std::io::Write;
    let mut node = Node::new();
    node.write("10-main.conflist", LIST);
    let path = node.path("10-main.conflist");
    let mut late = fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("open");
    node.install();
    let changed = LIST.replace("1500", "9000");
    late.set_len(0).expect("emptied");
    late.write_all(changed.as_bytes()).expect("written");
    assert!(node.installer.is_unsettled());
    node.install();
    assert!(node.read("10-main.conflist").contains("9000"));
    assert_eq!(plugins(&node.read("10-main.conflist")).len(), 2);
    for _ in 0..LOOKS {
        node.install();
    }
    assert!(!node.installer.is_unsettled());
    node.remove();
    assert_eq!(node.read("10-main.conflist"), changed);
}

#[test]
fn a_plugin_that_was_removed_or_is_old_is_copied_again() {
    let mut node = Node::new();
    node.write("10-main.conflist", LIST);
    node.install();
    let plugin = node.directories.bin.join("netpol-cni");
    fs::remove_dir_all(&node.directories.bin).expect("removed");
    node.install();
    fs::write(&plugin, "an old program").expect("written");
    node.install();
    assert_eq!(fs::read(&plugin).expect("there"), b"a program");
}
