//! Files change in more ways than by being written to, and none of them is missed.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use witgate_tests::{Gateway, Site, Upstream};

/// Long enough for a gateway to reload that reads files whenever they have changed.
const A_WHILE: Duration = Duration::from_millis(700);

/// A route `/NAME` that answers with what the script in this file says.
fn page(name: &str, file: &str) -> String {
    format!(
        "[scripts.{name}]\ncontent_file = \"{file}\"\n\
         [[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nstages = [{{ script = \"{name}\" }}]\n"
    )
}

fn says(text: &str) -> String {
    format!("ngx.print('{text}')")
}

/// Writes a file, and the folders that it needs.
fn put(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

/// Points a link elsewhere at once.
fn point(link: &Path, target: &str) {
    let aside = link.with_file_name("aside");
    symlink(target, &aside).expect("linked");
    fs::rename(aside, link).expect("renamed");
}

fn becomes(gateway: &Gateway, path: &str, text: &str) {
    gateway.eventually(&format!("{path} says {text}"), |gateway| gateway.get(path).text() == text);
}

#[test]
fn a_configuration_that_is_still_being_written_takes_no_route_away() {
    let upstream = Upstream::saying("ok");
    let route = |name: &str| format!("[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nupstream = \"u\"\n");
    let gateway = Gateway::with(&[upstream.config("u"), route("a"), route("b")].concat());
    let whole = fs::read_to_string(gateway.site().config()).expect("readable") + &route("c");
    let (half, rest) = whole.split_at(whole.find("[[routes]]\nname = \"b\"").expect("there"));
    let mut file = File::create(gateway.site().config()).expect("opened");
    file.write_all(half.as_bytes()).expect("written");
    let begun = Instant::now();
    while begun.elapsed() < A_WHILE {
        assert_eq!((gateway.get("/a").status, gateway.get("/b").status), (200, 200), "half a file was taken");
    }
    file.write_all(rest.as_bytes()).expect("written");
    drop(file);
    gateway.eventually("the whole file is taken", |gateway| gateway.get("/c").status == 200);
    assert_eq!(gateway.get("/b").status, 200);
    assert_eq!(gateway.metric(r#"witgate_reloads_total{outcome="refused"}"#), 0.0);
}

#[test]
fn a_script_that_is_named_while_it_is_being_written_is_read_when_it_is_whole() {
    let site = Site::new(&page("a", "a.lua"));
    put(site.path("a.lua"), &says("a"));
    let gateway = site.start();
    let mut file = File::create(gateway.site().path("b.lua")).expect("opened");
    file.write_all(says("half").as_bytes()).expect("written");
    gateway.site().configure(&[page("a", "a.lua"), page("b", "b.lua")].concat());
    let begun = Instant::now();
    while begun.elapsed() < A_WHILE {
        assert_eq!((gateway.get("/a").text().as_str(), gateway.get("/b").status), ("a", 404), "half a file was taken");
    }
    file.write_all(format!(" {}", says(" and half")).as_bytes()).expect("written");
    drop(file);
    becomes(&gateway, "/b", "half and half");
}

#[test]
fn somebody_who_says_so_has_a_file_read_that_is_being_written() {
    let site = Site::new(&page("a", "a.lua"));
    put(site.path("a.lua"), &says("a"));
    let gateway = site.start();
    let mut file = File::create(gateway.site().path("a.lua")).expect("opened");
    file.write_all(says("b").as_bytes()).expect("written");
    assert_eq!(gateway.reload().status, 200);
    assert_eq!(gateway.get("/a").text(), "b");
}

#[test]
fn the_configuration_in_a_volume_follows_its_links() {
    let site = Site::new("");
    let text = |name: &str| {
        format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n{}",
            page("a", "a.lua").replace("\"/a\"", &format!("\"/{name}\""))
        )
    };
    for name in ["1", "2", "3"] {
        put(site.path(&format!("..{name}/gateway.toml")), &text(name));
        put(site.path(&format!("..{name}/a.lua")), &says(name));
    }
    symlink("..1", site.path("..data")).expect("linked");
    fs::remove_file(site.config()).expect("removed");
    for name in ["gateway.toml", "a.lua"] {
        symlink(format!("..data/{name}"), site.path(name)).expect("linked");
    }
    let gateway = site.start();
    assert_eq!(gateway.get("/1").text(), "1");
    for (old, new) in [("1", "2"), ("2", "3")] {
        point(&gateway.site().path("..data"), &format!("..{new}"));
        fs::remove_dir_all(gateway.site().path(&format!("..{old}"))).expect("removed");
        becomes(&gateway, &format!("/{new}"), new);
        assert_eq!(gateway.get(&format!("/{old}")).status, 404);
    }
    put(gateway.site().path("..3/a.lua"), &says("edited"));
    becomes(&gateway, "/3", "edited");
}

#[test]
fn links_and_folders_on_the_way_to_a_file_are_followed_and_so_are_changes_after_that() {
    let site = Site::new(&[page("a", "current/p.lua"), page("b", "target/release/p.lua"), page("c", "c.lua")].concat());
    put(site.path("releases/1/p.lua"), &says("1"));
    put(site.path("releases/2/p.lua"), &says("2"));
    put(site.path("target/release/p.lua"), &says("1"));
    put(site.path("elsewhere/c.lua"), &says("1"));
    symlink("releases/1", site.path("current")).expect("linked");
    symlink("elsewhere/c.lua", site.path("c.lua")).expect("linked");
    let gateway = site.start();
    let at = |name: &str| gateway.site().path(name);

    point(&at("current"), "releases/2");
    becomes(&gateway, "/a", "2");
    put(at("releases/2/p.lua"), &says("3"));
    becomes(&gateway, "/a", "3");
    fs::rename(at("releases"), at("old")).expect("renamed");
    put(at("releases/2/p.lua"), &says("4"));
    becomes(&gateway, "/a", "4");

    for text in ["2", "3"] {
        fs::remove_dir_all(at("target")).expect("removed");
        put(at("target/release/p.lua"), &says(text));
        becomes(&gateway, "/b", text);
    }
    put(at("target/release/p.lua"), &says("4"));
    becomes(&gateway, "/b", "4");

    put(at("elsewhere/new"), &says("2"));
    fs::rename(at("elsewhere/new"), at("elsewhere/c.lua")).expect("renamed");
    becomes(&gateway, "/c", "2");
}

#[test]
fn a_file_that_is_not_there_yet_is_waited_for_and_so_is_its_folder() {
    let site = Site::new(&page("a", "a.lua"));
    put(site.path("a.lua"), &says("a"));
    let mut gateway = site.start();
    gateway.site().configure(&[page("a", "a.lua"), page("b", "to/come/b.lua")].concat());
    gateway.await_line(|line| line.contains("to/come/b.lua"));
    assert_eq!(gateway.get("/a").text(), "a");
    put(gateway.site().path("to/come/b.lua"), &says("b"));
    becomes(&gateway, "/b", "b");
}

#[test]
fn modules_come_and_go_behind_links_too() {
    let page = page("a", "a.lua").replace("content_file", "lua = \"main\"\ncontent_file");
    let site = Site::new(&format!("[lua.main]\npath = [\"modules\"]\n{page}"));
    put(site.path("a.lua"), "ngx.print(require('m').text)");
    put(site.path("real/m.lua"), "return { text = '1' }");
    put(site.path("other/n.lua"), "return '3'");
    fs::create_dir(site.path("modules")).expect("made");
    symlink("../real/m.lua", site.path("modules/m.lua")).expect("linked");
    let gateway = site.start();
    let at = |name: &str| gateway.site().path(name);
    assert_eq!(gateway.get("/a").text(), "1");
    put(at("real/m.lua"), "return { text = '2' }");
    becomes(&gateway, "/a", "2");
    symlink("../other", at("modules/inner")).expect("linked");
    put(at("real/m.lua"), "return { text = require('inner.n') }");
    becomes(&gateway, "/a", "3");
    put(at("other/n.lua"), "return '4'");
    becomes(&gateway, "/a", "4");
    fs::remove_dir_all(at("modules")).expect("removed");
    put(at("modules/m.lua"), "return { text = '5' }");
    becomes(&gateway, "/a", "5");
}
