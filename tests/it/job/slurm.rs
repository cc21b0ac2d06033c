//! Stages as jobs of a cluster, with programs instead of Slurm's that run each job as a process (`tests/slurm/fake`). The real
//! Slurm is tested by `tests/slurm/run.sh`.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::with_photographs;
use crate::space::{Said, Space};

const PIPELINE: &str = "pipeline p seed=1 {
    synthetic eyes { photographs 2; size 128 }
    extract patches { from eyes; size 32 }
    split sides { from patches; train 0.5; valid 0.5; test 0.0 }
}
";

const PROJECT: &str = "executor slurm { poll 1; wait 2 }\n";

/// A project whose stages run as jobs of the fake queue.
struct FakeCluster {
    space: Space,
}

impl FakeCluster {
    fn new(pipeline: &str) -> Self {
        Self::of(Space::with(pipeline))
    }

    fn of(space: Space) -> Self {
        space.write("project.kdl", PROJECT);
        std::fs::create_dir_all(space.outside("queue").join("jobs")).expect("a folder can be made");
        Self { space }
    }

    fn queue(&self, path: &str) -> PathBuf {
        self.space.outside("queue").join(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.space.command(arguments);
        let fake = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/slurm/fake");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(fake).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(all).expect("a path")).env("FAKE", self.queue(""));
        command.env("XDG_CONFIG_HOME", self.space.outside("config"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.space.finish(self.command(arguments))
    }

    /// A run in the background.
    fn start(&self) -> Child {
        let mut command = self.command(&["run", "pipeline.kdl"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts")
    }

    /// The ids of all jobs that were ever submitted, with the stage of each.
    fn jobs(&self) -> Vec<(u64, String)> {
        let folders = std::fs::read_dir(self.queue("jobs")).expect("a folder").flatten();
        let stage = |id: u64| {
            let said = std::fs::read_to_string(self.queue(&format!("jobs/{id}/arguments"))).expect("arguments");
            let stage = said.lines().find_map(|line| line.strip_prefix("--comment=")).expect("a comment");
            (id, stage.to_owned())
        };
        let ids = folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok());
        let mut jobs: Vec<(u64, String)> = ids.map(stage).collect();
        jobs.sort();
        jobs
    }

    fn hold(&self) {
        std::fs::write(self.queue("hold"), "").expect("written");
    }

    fn release(&self) {
        std::fs::remove_file(self.queue("hold")).expect("removed");
    }

    /// Waits until a job has its script.
    fn until_submitted(&self, id: u64) {
        let begun = Instant::now();
        while !self.queue(&format!("jobs/{id}/name")).exists() {
            assert!(begun.elapsed() < Duration::from_mins(1), "job {id} is not submitted");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for FakeCluster {
    fn drop(&mut self) {
        // What still waits in the queue ends.
        for (id, _) in self.jobs() {
            let _ = std::fs::write(self.queue(&format!("jobs/{id}/state")), "CANCELLED");
        }
        let _ = std::fs::remove_file(self.queue("hold"));
    }
}

fn stages(jobs: &[(u64, String)]) -> Vec<&str> {
    jobs.iter().map(|(_, stage)| stage.as_str()).collect()
}

#[test]
fn stages_run_as_jobs_and_give_the_same_results() {
    let cluster = FakeCluster::new(PIPELINE);
    let said = cluster.run(&["run", "pipeline.kdl"]);
    said.code(0).says(&["submitted job 101", "3 computed, 0 reused"]);
    assert_eq!(stages(&cluster.jobs()), ["eyes", "patches", "sides"]);

    // Everything is there: nothing is submitted.
    cluster.run(&["run", "pipeline.kdl"]).code(0).says(&["nothing to compute: 3 reused"]);
    assert_eq!(cluster.jobs().len(), 3);

    let local = FakeCluster::new(PIPELINE);
    assert_eq!(local.run(&["run", "pipeline.kdl", "--executor", "local"]).code, Some(0));
    assert!(local.jobs().is_empty());
    for space in [&cluster.space, &local.space] {
        assert_eq!(space.macula("lock pipeline.kdl").code, Some(0));
    }
    assert_eq!(cluster.space.read("p.lock.kdl"), local.space.read("p.lock.kdl"));
}

#[test]
fn a_record_whose_objects_are_lost_is_no_result_of_a_job() {
    let cluster = FakeCluster::new(PIPELINE);
    cluster.run(&["run", "pipeline.kdl"]).code(0);
    for folder in std::fs::read_dir(cluster.space.path(".macula/v1/objects")).expect("objects").flatten() {
        if folder.file_name().len() == 2 {
            std::fs::remove_dir_all(folder.path()).expect("removed");
        }
    }
    // Stages that are known to be quick would stay with the driver.
    std::fs::remove_dir_all(cluster.space.path(".macula/v1/runs")).expect("removed");
    cluster.run(&["run", "pipeline.kdl"]).code(0).says(&["submitted job 104"]);
    assert_eq!(stages(&cluster.jobs()), ["eyes", "patches", "sides", "eyes", "patches", "sides"]);
}

#[test]
fn a_driver_finds_the_jobs_of_one_that_was_killed_and_edits_do_not_reach_them() {
    let cluster = FakeCluster::new(PIPELINE);
    cluster.hold();
    let mut driver = cluster.start();
    cluster.until_submitted(101);
    driver.kill().expect("killed");
    driver.wait().expect("waited for");
    // A comment changes no key; the job is the same one.
    cluster.space.edit("pipeline.kdl", "pipeline p", "// edited\npipeline p");
    let mut second = cluster.start();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(stages(&cluster.jobs()), ["eyes"]);
    // One that is interrupted leaves its job to the next one.
    let pid = i32::try_from(second.id()).expect("a process id");
    assert!(Command::new("kill").arg(pid.to_string()).status().expect("kill starts").success());
    assert_eq!(second.wait().expect("waited for").code(), Some(130));
    let third = cluster.command(&["run", "pipeline.kdl", "--json"]);
    let handle = std::thread::scope(|scope| {
        let run = scope.spawn(|| cluster.space.finish(third));
        std::thread::sleep(Duration::from_secs(2));
        cluster.release();
        run.join().expect("no panic")
    });
    let handle = handle.code(0);
    assert!(handle.raw.contains("\"phase\":\"attached\""), "{}", handle.raw);
    assert_eq!(stages(&cluster.jobs()), ["eyes", "patches", "sides"]);
}

#[test]
fn a_lost_job_is_submitted_again_and_a_cancelled_one_is_not() {
    let cluster = FakeCluster::new(PIPELINE);
    cluster.hold();
    let command = cluster.command(&["run", "pipeline.kdl"]);
    let said = std::thread::scope(|scope| {
        let run = scope.spawn(|| cluster.space.finish(command));
        cluster.until_submitted(101);
        std::fs::write(cluster.queue("jobs/101/state"), "NODE_FAIL").expect("written");
        cluster.until_submitted(102);
        cluster.release();
        run.join().expect("no panic")
    });
    said.code(0).says(&["warning[job-again]: job 101 was lost with its node"]);
    assert_eq!(stages(&cluster.jobs()), ["eyes", "eyes", "patches", "sides"]);

    let cluster = FakeCluster::new(PIPELINE);
    cluster.hold();
    let command = cluster.command(&["run", "pipeline.kdl"]);
    let said = std::thread::scope(|scope| {
        let run = scope.spawn(|| cluster.space.finish(command));
        cluster.until_submitted(101);
        std::fs::write(cluster.queue("jobs/101/state"), "CANCELLED").expect("written");
        run.join().expect("no panic")
    });
    said.code(1).says(&["error[job-cancelled]: job 101 was cancelled"]);
    assert_eq!(cluster.jobs().len(), 1);
}

#[test]
fn a_job_that_fails_says_what_a_run_here_says() {
    let failed = |arguments: &[&str]| {
        let cluster = FakeCluster::of(with_photographs(2));
        let files = cluster.space.files("data");
        let file = files.iter().find(|file| file.ends_with("photograph.png")).expect("a photograph");
        let file = format!("data/{file}");
        let bytes = std::fs::read(cluster.space.path(&file)).expect("it can be read");
        cluster.space.write(&file, &bytes[..bytes.len() / 2]);
        let said = cluster.run(arguments).code(1);
        let all = said.stderr + &said.stdout;
        let error: Vec<String> =
            all.lines().filter(|line| line.contains("error[") || line.contains("hint:")).map(str::to_owned).collect();
        (error, cluster.jobs().len())
    };
    let (here, none) = failed(&["run", "pipeline.kdl", "--executor", "local"]);
    let (there, jobs) = failed(&["run", "pipeline.kdl"]);
    assert_eq!((none, jobs), (0, 1));
    assert!(!here.is_empty());
    assert_eq!(here, there);
}

#[test]
fn a_refused_job_fails_its_stage_and_a_queue_that_is_away_is_awaited() {
    let cluster = FakeCluster::new(PIPELINE);
    std::fs::write(cluster.queue("refuse"), "Invalid account specified").expect("written");
    let words = ["error[job-refused]: Slurm refused the job:", "Invalid account specified"];
    cluster.run(&["run", "pipeline.kdl"]).code(1).says(&words);
    std::fs::remove_file(cluster.queue("refuse")).expect("removed");

    std::fs::write(cluster.queue("away"), "").expect("written");
    let command = cluster.command(&["run", "pipeline.kdl"]);
    let said = std::thread::scope(|scope| {
        let run = scope.spawn(|| cluster.space.finish(command));
        std::thread::sleep(Duration::from_secs(3));
        std::fs::remove_file(cluster.queue("away")).expect("removed");
        run.join().expect("no panic")
    });
    let said = said.code(0);
    assert_eq!((said.stdout + &said.stderr).matches("warning[queue-away]").count(), 1);
    assert_eq!(stages(&cluster.jobs()), ["eyes", "patches", "sides"]);
}

#[test]
fn settings_reach_sbatch_and_mistakes_in_them_are_reported_together() {
    let cluster = FakeCluster::new(PIPELINE);
    cluster.space.write(
        "project.kdl",
        "executor slurm { partition gpu; account lab; poll 1; threads 2; options \"--nice=10\"\n\
         resources patches memory=\"3GiB\" time=\"2h\" gpus=1 }\n",
    );
    assert_eq!(cluster.run(&["run", "pipeline.kdl"]).code, Some(0));
    let of = |id: u64| std::fs::read_to_string(cluster.queue(&format!("jobs/{id}/arguments"))).expect("arguments");
    for words in ["--partition=gpu", "--account=lab", "--nice=10", "--cpus-per-task=2", "--requeue"] {
        assert!(of(101).lines().any(|line| line == words), "{words}: {}", of(101));
    }
    for words in ["--mem=3072M", "--time=120", "--gres=gpu:1", "--signal=B:USR1@120"] {
        assert!(of(102).lines().any(|line| line == words), "{words}: {}", of(102));
    }
    assert!(!of(101).contains("--mem") && !of(101).contains("--time"), "{}", of(101));

    cluster.space.write("project.kdl", "executor slurm { partiton gpu; poll 0; options \"--array=1\" }\n");
    let words = ["no property `partiton`", "`poll` takes a whole number", "macula sets `--array` itself"];
    cluster.run(&["run", "pipeline.kdl"]).code(2).says(&words);
}
