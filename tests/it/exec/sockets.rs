//! Sockets: those of other processes are unreachable by path, by abstract name, and on a virtual machine's host; those
//! between the processes of one command work, as training frameworks need.

use std::os::unix::net::UnixListener;

use super::{confines, python, run, without_namespaces};

const ONE: &str = "gives \"a\" any";

#[test]
fn sockets_of_others_are_out_of_reach() {
    if !confines() {
        return;
    }
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().canonicalize().expect("a path").join("agent");
    let listener = UnixListener::bind(&path).expect("a socket");
    listener.set_nonblocking(true).expect("it does not wait");
    let path = path.display().to_string();
    let script = format!(
        "import socket\nreached = ''\n\
         for family, address in [(socket.AF_UNIX, '{path}'), (socket.AF_VSOCK, (2, 22))]:\n    \
             try:\n        s = socket.socket(family)\n        s.settimeout(3)\n        s.connect(address)\n        reached += address + ' '\n    \
             except OSError as e:\n        reached += '' if family == socket.AF_UNIX or e.errno in (1, 97) else f'asked: {{e}}'\n\
         try:\n    socket.socketpair()\nexcept OSError:\n    reached += 'no pair'\n\
         open('outputs/a', 'w').write(reached)\n"
    );
    let space = python(&script, ONE);
    run(&space).code(0);
    assert_eq!(space.read("results/p/made/a"), "");
    // Also with network access.
    space.edit("pipeline.kdl", ONE, &format!("{ONE}; network #true"));
    run(&space).code(0);
    assert_eq!(space.read("results/p/made/a"), "");
    std::fs::remove_dir_all(space.path(".macula")).expect("the store goes");
    without_namespaces(&space, "run --trust pipeline.kdl").code(0);
    assert_eq!(space.read("results/p/made/a"), "");
    assert!(listener.accept().is_err(), "somebody connected");
}

/// What a data loader does: processes by each start method, queues, locks, shared memory, a manager with a socket.
const LOADER: &str = r"
import multiprocessing as mp, sys
from multiprocessing import shared_memory

def worker(index, queue, lock, seen):
    with lock:
        seen[index] = index * index
    queue.put(index)

def main():
    total = 0
    for way in ['fork', 'spawn', 'forkserver']:
        context = mp.get_context(way)
        queue, lock = context.Queue(), context.Lock()
        with context.Manager() as manager:
            seen = manager.dict()
            workers = [context.Process(target=worker, args=(i, queue, lock, seen)) for i in range(2)]
            for one in workers: one.start()
            total += sum(queue.get(timeout=60) for _ in workers)
            for one in workers: one.join()
            total += sum(seen.values())
    block = shared_memory.SharedMemory(create=True, size=1 << 20)
    block.buf[0] = 7
    other = shared_memory.SharedMemory(name=block.name)
    total += other.buf[0]
    other.close(); block.close(); block.unlink()
    open('outputs/a', 'w').write(str(total))

if __name__ == '__main__':
    main()
";

#[test]
fn processes_of_one_command_talk_to_each_other() {
    if !confines() {
        return;
    }
    let space = python(LOADER, ONE);
    run(&space).code(0);
    assert_eq!(space.read("results/p/made/a"), "13");
}

/// The same without named sockets, which also works without namespaces.
const QUEUES: &str = r"
import multiprocessing as mp

def worker(index, queue):
    queue.put(index)

if __name__ == '__main__':
    total = 0
    for way in ['fork', 'spawn']:
        context = mp.get_context(way)
        queue = context.Queue()
        workers = [context.Process(target=worker, args=(i, queue)) for i in range(2)]
        for one in workers: one.start()
        total += sum(queue.get(timeout=60) for _ in workers)
        for one in workers: one.join()
    open('outputs/a', 'w').write(str(total))
";

#[test]
fn without_namespaces_processes_talk_by_pipes_and_shared_memory() {
    if !confines() {
        return;
    }
    let space = python(QUEUES, ONE);
    without_namespaces(&space, "run --trust pipeline.kdl").code(0);
    assert_eq!(space.read("results/p/made/a"), "2");
}
