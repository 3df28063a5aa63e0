package holdfast.node.api;

import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.UnaryOperator;

/** A node whose domains are only remembered: enough to hold the API to its word. */
final class MemoryNode implements NodeApi {
    /** Blocks {@code remus} between its two progress reports until the test lets it go on. */
    final CountDownLatch copyDone = new CountDownLatch(1);

    final CountDownLatch stopped = new CountDownLatch(1);
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final TreeMap<String, DomainStatus> domains = new TreeMap<>();

    @Override
    public NodeInfo nodeInfo() {
        return new NodeInfo(
                "hostA",
                "0.1.0",
                4711,
                "2026-11-20T10:00:00Z",
                "0.0.0.0:7227",
                "/run/holdfast",
                "/dev/shm",
                1L << 30,
                null,
                0);
    }

    @Override
    public List<DomainStatus> list() {
        lock.lock();
        try {
            return List.copyOf(domains.values());
        } finally {
            lock.unlock();
        }
    }

    @Override
    public DomainStatus status(String domain) {
        return update(domain, UnaryOperator.identity());
    }

    @Override
    public DomainStatus awaitChange(String domain, long afterChange, long timeoutMillis) {
        lock.lock();
        try {
            long left = TimeUnit.MILLISECONDS.toNanos(timeoutMillis);
            while (known(domain).change() <= afterChange && left > 0) {
                left = changed.awaitNanos(left);
            }
            return known(domain);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        } finally {
            lock.unlock();
        }
    }

    @Override
    public DomainStatus create(DomainSource source) {
        String name = source.yaml().strip().substring("name: ".length());
        lock.lock();
        try {
            if (domains.containsKey(name)) {
                throw ApiException.exists(name);
            }
            domains.put(name, fresh(name));
            return domains.get(name);
        } finally {
            lock.unlock();
        }
    }

    @Override
    public DomainStatus attach(AttachRequest request) {
        throw ApiException.missing(
                "no right to trace the process behind " + request.qmpSocket(),
                "sudo sysctl kernel.yama.ptrace_scope=0");
    }

    @Override
    public DomainStatus pause(String domain) {
        return update(
                domain,
                was -> with(was, DomainStatus.State.PAUSED, was.role(), "paused by the operator"));
    }

    @Override
    public DomainStatus unpause(String domain) {
        return update(
                domain,
                was ->
                        with(
                                was,
                                DomainStatus.State.RUNNING,
                                was.role(),
                                "unpaused by the operator"));
    }

    @Override
    public void destroy(String domain) {
        lock.lock();
        try {
            known(domain);
            domains.remove(domain);
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    @Override
    public SaveResult save(SaveRequest request, ProgressListener progress) {
        known(request.domain());
        progress.progress(new Progress("saving", 0, 1 << 20, 2 << 20, "saving"));
        throw ApiException.failed(
                "writing "
                        + request.file()
                        + " failed: no space left on device; the domain runs on",
                null);
    }

    @Override
    public DomainStatus restore(RestoreRequest request, ProgressListener progress) {
        throw new IllegalStateException("a defect nobody thought of");
    }

    @Override
    public DomainStatus remus(RemusRequest request, ProgressListener progress) {
        if (known(request.domain()).role() == DomainStatus.Role.PRIMARY) {
            throw ApiException.alreadyProtected(request.domain(), "hostB");
        }
        if (request.node().equals("nowhere")) {
            throw new ApiException(
                    ApiException.Kind.UNKNOWN_NODE,
                    "no node answers at nowhere:7227; is it started there?");
        }
        progress.progress(new Progress("copying", 0, 0, 256 << 20, "round 0"));
        awaitCopied();
        progress.progress(new Progress("first-checkpoint", 0, 0, 0, "first checkpoint"));
        return update(
                request.domain(),
                was ->
                        with(
                                was,
                                was.state(),
                                DomainStatus.Role.PRIMARY,
                                "protected by " + request.node()));
    }

    private void awaitCopied() {
        try {
            if (!copyDone.await(10, TimeUnit.SECONDS)) {
                throw new IllegalStateException("the test never let the copy end");
            }
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public DomainStatus unprotect(String domain) {
        if (known(domain).role() != DomainStatus.Role.PRIMARY) {
            throw ApiException.notProtected(domain);
        }
        return update(
                domain,
                was ->
                        with(
                                was,
                                was.state(),
                                DomainStatus.Role.UNPROTECTED,
                                "unprotected by the operator"));
    }

    @Override
    public DomainStatus failover(String domain) {
        known(domain);
        throw ApiException.badRequest(
                "domain \""
                        + domain
                        + "\" has its replica on hostB; run `holdfast failover` there");
    }

    @Override
    public MigrateResult migrate(MigrateRequest request, ProgressListener progress) {
        known(request.domain());
        progress.progress(new Progress("copying", 1, 1, 2, "round 1"));
        return new MigrateResult(
                request.domain(), request.node(), "moved", "as asked", 100, 10, null);
    }

    @Override
    public DomainStatus cancelSave(String domain) {
        known(domain);
        throw ApiException.badRequest("domain \"" + domain + "\" is not being saved");
    }

    @Override
    public DomainStatus cancelMigration(String domain) {
        known(domain);
        throw ApiException.badRequest("domain \"" + domain + "\" is not being moved");
    }

    @Override
    public void stopNode() {
        stopped.countDown();
    }

    private DomainStatus known(String domain) {
        lock.lock();
        try {
            DomainStatus status = domains.get(domain);
            if (status == null) {
                throw ApiException.unknownDomain(domain);
            }
            return status;
        } finally {
            lock.unlock();
        }
    }

    private DomainStatus update(String domain, UnaryOperator<DomainStatus> step) {
        lock.lock();
        try {
            DomainStatus next = step.apply(known(domain));
            domains.put(domain, next);
            changed.signalAll();
            return next;
        } finally {
            lock.unlock();
        }
    }

    static DomainStatus fresh(String name) {
        return new DomainStatus(
                name,
                "6f4b7bd2-0a53-4a6e-9e38-7fbd6f2f4a11",
                DomainStatus.State.RUNNING,
                DomainStatus.Role.UNPROTECTED,
                "hostA",
                4712,
                256,
                1,
                List.of(new DomainStatus.Nic(0, "tap", "hf-web", "52:54:00:12:34:56")),
                List.of(
                        new DomainStatus.Disk(
                                0,
                                "/images/web.qcow2",
                                "qcow2",
                                "read-write",
                                1 << 30,
                                "/images/web.qcow2.raw",
                                null)),
                null,
                null,
                new ReprotectionStatus(ReprotectionStatus.State.OFF, List.of(), 0, null, -1),
                null,
                null,
                1);
    }

    private static DomainStatus with(
            DomainStatus was, DomainStatus.State state, DomainStatus.Role role, String event) {
        return new DomainStatus(
                was.name(),
                was.uuid(),
                state,
                role,
                was.node(),
                was.pid(),
                was.memoryMib(),
                was.vcpus(),
                was.nics(),
                was.disks(),
                was.remusBackup(),
                was.protection(),
                was.reprotection(),
                was.migration(),
                new DomainStatus.Event("2026-11-20T10:00:01.000Z", event),
                was.change() + 1);
    }
}
