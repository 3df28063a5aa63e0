package holdfast.qemu.qmp;

import com.fasterxml.jackson.databind.JsonNode;

import holdfast.engine.HypervisorException;
import holdfast.qemu.linux.PauseThreads;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import java.util.function.Predicate;

/**
 * One connection to a QEMU monitor. Commands may be sent from any thread except the reader's own
 * (that is, not from a subscriber or an {@link #onClosed} action). A command that runs into its
 * limit fails alone: its late reply is dropped and the connection stays usable. Interrupting a
 * thread that is sending closes the connection, as with every NIO channel.
 */
public final class QmpClient implements AutoCloseable {
    /** The limit for commands sent without one: a healthy QEMU answers within milliseconds. */
    public static final Duration COMMAND_LIMIT = Duration.ofSeconds(10);

    /** Commands that may wait for a reply at once; more means that QEMU hangs. */
    static final int PENDING_MAX = 64;

    private static final Logger log = LoggerFactory.getLogger(QmpClient.class);
    private static final String EXECUTE = "execute";
    private static final String EXECUTE_OUT_OF_BAND = "exec-oob";

    /** Makes of a command that was begun one that QEMU refuses, for a member it does not know. */
    private static final byte[] WITHDRAWN =
            ",\"withdrawn\":1}\n".getBytes(StandardCharsets.US_ASCII);

    private static final byte[] NOTHING = {};
    private static final Runnable NOBODY = () -> {};

    private final Path socket;
    private final SocketChannel channel;
    private final Thread reader;
    private final CompletableFuture<QmpGreeting> greeting = new CompletableFuture<>();
    private final Map<Long, Waiting> pending = new ConcurrentHashMap<>();
    private final AtomicLong ids = new AtomicLong();
    private final ReentrantLock writing = new ReentrantLock();

    /** What QEMU has read but for its end; guarded by {@link #writing}. */
    private Optional<Primed> primed = Optional.empty();

    private final List<Consumer<QmpEvent>> subscribers = new CopyOnWriteArrayList<>();
    private final ReentrantLock ending = new ReentrantLock();
    private final List<Runnable> onClosed = new CopyOnWriteArrayList<>();
    private final Set<CompletableFuture<QmpEvent>> expected = ConcurrentHashMap.newKeySet();
    private final AtomicReference<Ended> ended = new AtomicReference<>();

    private record Primed(QmpCommand command, long id) {}

    /** A command that QEMU has not answered, whether or not its sender still waits. */
    private record Waiting(
            long sinceNanos, CompletableFuture<QmpMessage.Answer> answer, Runnable answered) {}

    /** How a connection ended: by whom, and the words for it. */
    private record Ended(By by, String reason, Throwable cause) {}

    private enum By {
        US,
        THEM
    }

    private QmpClient(Path socket, SocketChannel channel) {
        this.socket = socket;
        this.channel = channel;
        // A platform thread: a virtual one would reach a blocking read through the poller, which
        // adds a thread hop to every reply; there are two per domain.
        this.reader =
                Thread.ofPlatform()
                        .daemon()
                        .name("qmp-" + socket.getFileName())
                        .unstarted(PauseThreads.body(this::read));
    }

    /**
     * Connects and leaves QEMU ready for commands. Where the monitor offers it, QEMU reads the next
     * command while it carries one out.
     *
     * @param limit for all of it
     * @throws HypervisorException if nobody listens, no greeting comes (a monitor serves one client
     *     at a time) or it is no QEMU
     */
    public static QmpClient connect(Path socket, Duration limit) {
        return connect(socket, limit, OutOfBand.WHERE_OFFERED);
    }

    /**
     * Connects for out-of-band commands, see {@link #executeOutOfBand}.
     *
     * @throws HypervisorException as {@link #connect}, also if this monitor does not offer it
     */
    public static QmpClient connectOutOfBand(Path socket, Duration limit) {
        return connect(socket, limit, OutOfBand.REQUIRED);
    }

    private enum OutOfBand {
        WHERE_OFFERED,
        REQUIRED
    }

    /** Who hears QEMU's answers. */
    public Thread reader() {
        return reader;
    }

    private static QmpClient connect(Path socket, Duration limit, OutOfBand outOfBand) {
        SocketChannel channel;
        try {
            channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        } catch (IOException e) {
            throw new HypervisorException("connect", "no Unix socket: " + e.getMessage(), e);
        }
        QmpClient client = new QmpClient(socket, channel);
        long until = System.nanoTime() + limit.toNanos();
        client.reader.start();
        try {
            QmpGreeting found = client.await("connect", client.greeting, limit);
            boolean offered = found.capabilities().contains(QmpGreeting.OUT_OF_BAND);
            if (outOfBand == OutOfBand.REQUIRED) {
                client.requireOutOfBand();
            }
            Duration left = Duration.ofNanos(Math.max(1, until - System.nanoTime()));
            client.execute(
                    "qmp_capabilities",
                    offered ? Map.of("enable", List.of(QmpGreeting.OUT_OF_BAND)) : Map.of(),
                    left);
            return client;
        } catch (RuntimeException e) {
            client.close();
            throw e;
        }
    }

    /** What QEMU said first. */
    public QmpGreeting greeting() {
        return greeting.join();
    }

    /** The socket this client is connected to. */
    public Path socket() {
        return socket;
    }

    /**
     * As {@link #execute(String, Map, Duration)} without arguments, within {@link #COMMAND_LIMIT}.
     */
    public JsonNode execute(String command) {
        return execute(command, Map.of(), COMMAND_LIMIT);
    }

    /** As {@link #execute(String, Map, Duration)} within {@link #COMMAND_LIMIT}. */
    public JsonNode execute(String command, Map<String, ?> arguments) {
        return execute(command, arguments, COMMAND_LIMIT);
    }

    /**
     * Sends a command and waits for what it returns.
     *
     * @param arguments values may be texts, numbers, booleans, lists, maps and {@link JsonNode}s
     * @throws HypervisorException if QEMU refuses it, is gone, or does not answer within the limit
     *     (then it may still carry the command out)
     */
    public JsonNode execute(String command, Map<String, ?> arguments, Duration limit) {
        return request(command, arguments, limit).orThrow(command);
    }

    /**
     * As {@link #execute(String, Map, Duration)}, with a refusal as a value.
     *
     * @throws HypervisorException if QEMU is gone or does not answer
     */
    public QmpReply request(String command, Map<String, ?> arguments, Duration limit) {
        return send(EXECUTE, new QmpCommand(command, arguments), limit, Optional.empty(), NOBODY);
    }

    /**
     * As {@link #execute(String)}; while QEMU carries it out, the next command is primed.
     *
     * @see #prime
     */
    public JsonNode executeBefore(QmpCommand next, QmpCommand command, Duration limit) {
        return executeBefore(next, command, limit, NOBODY);
    }

    /**
     * As {@link #executeBefore(QmpCommand, QmpCommand, Duration)}.
     *
     * @param answered called on the reader thread when QEMU answers or refuses: after the events
     *     that QEMU told before its answer, and before those that it tells after it. It must not
     *     block
     */
    public JsonNode executeBefore(
            QmpCommand next, QmpCommand command, Duration limit, Runnable answered) {
        return send(EXECUTE, command, limit, Optional.of(next), answered).orThrow(command.name());
    }

    /**
     * Has QEMU read a command but for its end, so that executing it later takes no longer than what
     * it does: QEMU reads a monitor byte by byte ({@code monitor_can_read} of monitor/monitor.c,
     * 7.2), some 5 µs each, half a millisecond for a command of ordinary length. One command is
     * primed at a time. Executing the same one finishes it; any other withdraws it first, which
     * costs a few bytes and is harmless, as is a connection that ends meanwhile.
     */
    public void prime(QmpCommand command) {
        writing.lock();
        try {
            if (ended.get() == null && !isPrimed(command)) {
                byte[] withdrawal = withdrawal();
                write(command.name(), withdrawal, NOTHING, beginning(command));
            }
        } finally {
            writing.unlock();
        }
    }

    private boolean isPrimed(QmpCommand command) {
        return primed.isPresent() && primed.get().command().equals(command);
    }

    private byte[] withdrawal() {
        return primed.isPresent() ? WITHDRAWN : NOTHING;
    }

    private byte[] beginning(QmpCommand command) {
        long id = ids.incrementAndGet();
        primed = Optional.of(new Primed(command, id));
        return QmpCodec.beginning(QmpCodec.encode(EXECUTE, command, id));
    }

    /**
     * @throws HypervisorException unless {@link #executeOutOfBand} may be called
     */
    public void requireOutOfBand() {
        if (!greeting().capabilities().contains(QmpGreeting.OUT_OF_BAND)) {
            throw new HypervisorException(
                    "connect",
                    socket
                            + " offers no out-of-band commands, which alone end what QEMU hangs on;"
                            + " give QEMU another monitor: -qmp unix:PATH,server=on,wait=off");
        }
    }

    /**
     * Sends a command that overtakes those before it and works while QEMU's main loop hangs, such
     * as {@code yank}.
     *
     * @throws HypervisorException as {@link #execute(String, Map, Duration)}, also if this monitor
     *     does not offer it
     */
    public JsonNode executeOutOfBand(String command, Map<String, ?> arguments, Duration limit) {
        requireOutOfBand();
        return send(
                        EXECUTE_OUT_OF_BAND,
                        new QmpCommand(command, arguments),
                        limit,
                        Optional.empty(),
                        NOBODY)
                .orThrow(command);
    }

    /**
     * Sends a command whose answer is wanted later; while QEMU carries it out, the next one is
     * primed. A command that is sent meanwhile is carried out after it.
     *
     * @see #prime
     */
    public Issued issueBefore(QmpCommand next, QmpCommand command) {
        return issueBefore(next, command, NOBODY);
    }

    /**
     * As {@link #issueBefore(QmpCommand, QmpCommand)}.
     *
     * @param answered as for {@link #executeBefore(QmpCommand, QmpCommand, Duration, Runnable)}
     */
    public Issued issueBefore(QmpCommand next, QmpCommand command, Runnable answered) {
        return issue(EXECUTE, command, Optional.of(next), answered);
    }

    /** As {@link #issueBefore}, with no next one. */
    public Issued issue(QmpCommand command) {
        return issue(EXECUTE, command, Optional.empty(), NOBODY);
    }

    /** A command on its way. */
    public final class Issued {
        private final QmpCommand command;
        private final CompletableFuture<QmpMessage.Answer> answer;

        private Issued(QmpCommand command, CompletableFuture<QmpMessage.Answer> answer) {
            this.command = command;
            this.answer = answer;
        }

        /** Waits for the answer, or that nothing will answer any more, but no longer than this. */
        public boolean isOver(Duration wait) {
            try {
                answer.get(wait.toNanos(), TimeUnit.NANOSECONDS);
                return true;
            } catch (TimeoutException e) {
                return false;
            } catch (ExecutionException e) {
                return true;
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new HypervisorException(
                        command.name(), "interrupted while waiting for QEMU", e);
            }
        }

        /**
         * Waits for what it returns.
         *
         * @throws HypervisorException as {@link QmpClient#execute(String, Map, Duration)}
         */
        public JsonNode result(Duration limit) {
            return reply(limit).orThrow(command.name());
        }

        private QmpReply reply(Duration limit) {
            return await(command.name(), answer, limit).reply();
        }
    }

    private QmpReply send(
            String verb,
            QmpCommand command,
            Duration limit,
            Optional<QmpCommand> next,
            Runnable answered) {
        return issue(verb, command, next, answered).reply(limit);
    }

    private Issued issue(
            String verb, QmpCommand command, Optional<QmpCommand> next, Runnable answered) {
        if (Thread.currentThread() == reader) {
            throw new IllegalStateException(
                    command.name() + " from the reader thread would wait for itself; hand it over");
        }
        if (pending.size() >= PENDING_MAX) {
            throw new HypervisorException(
                    command.name(),
                    PENDING_MAX + " commands unanswered at " + socket + ": QEMU hangs");
        }
        Waiting waiting = new Waiting(System.nanoTime(), new CompletableFuture<>(), answered);
        long id = begin(verb, command, waiting, next);
        if (log.isDebugEnabled()) {
            log.debug(
                    "qmp={} id={} {}={} arguments={}",
                    socket.getFileName(),
                    id,
                    verb,
                    command.name(),
                    loggable(command));
        }
        return new Issued(command, waiting.answer());
    }

    /**
     * Writes a command, or the end of it where it was primed.
     *
     * @return its id
     */
    private long begin(
            String verb, QmpCommand command, Waiting waiting, Optional<QmpCommand> next) {
        // Two callers' commands must not mix.
        writing.lock();
        try {
            boolean ready = verb.equals(EXECUTE) && isPrimed(command);
            long id = ready ? primed.get().id() : ids.incrementAndGet();
            byte[] withdrawal = ready ? NOTHING : withdrawal();
            byte[] rest = ready ? QmpCodec.END : QmpCodec.encode(verb, command, id);
            primed = Optional.empty();
            pending.put(id, waiting);
            if (ended.get() != null) {
                throw gone(command.name());
            }
            write(
                    command.name(),
                    withdrawal,
                    rest,
                    next.isPresent() ? beginning(next.get()) : NOTHING);
            return id;
        } finally {
            writing.unlock();
        }
    }

    /** For how long QEMU has owed an answer; 0 if it owes none. */
    public long unansweredNanos() {
        long now = System.nanoTime();
        return pending.values().stream()
                .mapToLong(waiting -> now - waiting.sinceNanos())
                .max()
                .orElse(0);
    }

    /** Commands that may carry a secret are logged without their arguments. */
    private static Object loggable(QmpCommand command) {
        boolean secret =
                command.name().contains("password")
                        || String.valueOf(command.arguments().get("qom-type")).startsWith("secret");
        return secret ? "(withheld)" : command.arguments();
    }

    /** With the lock. */
    private void write(String command, byte[] withdrawal, byte[] rest, byte[] beginning) {
        ByteBuffer bytes =
                ByteBuffer.allocate(withdrawal.length + rest.length + beginning.length)
                        .put(withdrawal)
                        .put(rest)
                        .put(beginning)
                        .flip();
        // QEMU always reads, and PENDING_MAX short lines fit its socket's buffer, so this does not
        // wait long even where QEMU hangs.
        try {
            while (bytes.hasRemaining()) {
                channel.write(bytes);
            }
        } catch (IOException e) {
            if (ended.get() != null) {
                throw gone(command);
            }
            throw new HypervisorException(command, "cannot write to " + socket, e);
        }
    }

    private <T> T await(String command, CompletableFuture<T> reply, Duration limit) {
        try {
            return reply.get(limit.toNanos(), TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
            throw new HypervisorException(
                    command,
                    "no answer within "
                            + limit.toMillis()
                            + " ms at "
                            + socket
                            + ": QEMU hangs, or another client holds this monitor",
                    e);
        } catch (ExecutionException e) {
            throw gone(command);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new HypervisorException(command, "interrupted while waiting for QEMU", e);
        }
    }

    private HypervisorException gone(String command) {
        Ended how = ended.get();
        return how == null
                ? new HypervisorException(command, "no connection to " + socket)
                : new HypervisorException(command, socket + " " + how.reason(), how.cause());
    }

    /**
     * Calls {@code subscriber} with every event from now on, on the reader thread: it must not
     * block, and must not send commands on this client.
     *
     * @return closing it ends the subscription
     */
    public Subscription subscribe(Consumer<QmpEvent> subscriber) {
        subscribers.add(subscriber);
        return () -> subscribers.remove(subscriber);
    }

    /** A subscriber's place in the list; close it to leave. */
    @FunctionalInterface
    public interface Subscription extends AutoCloseable {
        @Override
        void close();
    }

    /**
     * Starts to look out for an event; call it before the command that brings the event about.
     *
     * @param matching further condition on the event, evaluated on the reader thread
     */
    public ExpectedEvent expect(String name, Predicate<QmpEvent> matching) {
        return new ExpectedEvent(name, matching);
    }

    /**
     * Waits for an event that is yet to come.
     *
     * @throws HypervisorException if it does not come within the limit or the connection ends
     */
    public QmpEvent awaitEvent(String name, Predicate<QmpEvent> matching, Duration limit) {
        try (ExpectedEvent expected = expect(name, matching)) {
            return expected.await(limit);
        }
    }

    /** The first event of one kind since {@link #expect}. Close it when no longer interested. */
    public final class ExpectedEvent implements AutoCloseable {
        private final String name;
        private final CompletableFuture<QmpEvent> event = new CompletableFuture<>();
        private final Subscription subscription;

        private ExpectedEvent(String name, Predicate<QmpEvent> matching) {
            this.name = name;
            this.subscription =
                    subscribe(
                            found -> {
                                if (found.name().equals(name) && matching.test(found)) {
                                    event.complete(found);
                                }
                            });
            expected.add(event);
            if (ended.get() != null) {
                event.completeExceptionally(new IOException());
            }
        }

        /**
         * Waits for it; at once if it has come already.
         *
         * @throws HypervisorException if it does not come within the limit or the connection ends
         */
        public QmpEvent await(Duration limit) {
            return QmpClient.this.await("event " + name, event, limit);
        }

        /** Whether it has come. */
        public boolean hasCome() {
            return event.state() == Future.State.SUCCESS;
        }

        @Override
        public void close() {
            subscription.close();
            QmpClient.this.expected.remove(event);
        }
    }

    /**
     * Runs {@code action} once, on the reader thread, as soon as the other side has closed the
     * connection: QEMU died, quit, or broke the protocol. At once, on this thread, if that has
     * happened already; never after our own {@link #close}.
     */
    public void onClosed(Runnable action) {
        ending.lock();
        try {
            if (ended.get() == null) {
                onClosed.add(action);
                return;
            }
        } finally {
            ending.unlock();
        }
        if (ended.get().by() == By.THEM) {
            action.run();
        }
    }

    /** Why the other side is gone; empty while it is connected, and after our own close. */
    public Optional<String> closedBecause() {
        return Optional.ofNullable(ended.get())
                .filter(how -> how.by() == By.THEM)
                .map(Ended::reason);
    }

    private void read() {
        try {
            channel.connect(UnixDomainSocketAddress.of(socket));
            QmpLines lines = new QmpLines(channel);
            QmpMessage message;
            while ((message = lines.next()) != null) {
                dispatch(message);
            }
            end(By.THEM, "was closed by QEMU", null);
        } catch (IOException | IllegalArgumentException e) {
            end(By.THEM, "failed: " + e.getMessage(), e);
        } catch (RuntimeException | Error e) {
            end(By.THEM, "reader failed: " + e, e);
            throw e;
        }
    }

    private void dispatch(QmpMessage message) {
        switch (message) {
            case QmpMessage.Hello(QmpGreeting found) -> greeting.complete(found);
            case QmpMessage.Answer answer -> {
                if (log.isDebugEnabled()) {
                    log.debug(
                            "qmp={} reply={}",
                            socket.getFileName(),
                            QmpCodec.excerpt(answer.raw()));
                }
                Waiting waiting = pending.remove(answer.id());
                if (waiting == null) {
                    log.debug("qmp={} unclaimed reply={}", socket.getFileName(), answer.id());
                } else {
                    tell(waiting.answered());
                    waiting.answer().complete(answer);
                }
            }
            case QmpMessage.Told(QmpEvent event) -> {
                if (log.isDebugEnabled()) {
                    log.debug(
                            "qmp={} event={} data={}",
                            socket.getFileName(),
                            event.name(),
                            QmpCodec.excerpt(event.data()));
                }
                subscribers.forEach(subscriber -> tell(() -> subscriber.accept(event)));
            }
        }
    }

    /** A failing subscriber must not cost the others their event or us the reader. */
    private void tell(Runnable action) {
        try {
            action.run();
        } catch (RuntimeException e) {
            log.error("qmp={} a subscriber failed", socket.getFileName(), e);
        }
    }

    private void end(By by, String reason, Throwable cause) {
        ending.lock();
        try {
            if (!ended.compareAndSet(null, new Ended(by, reason, cause))) {
                return;
            }
        } finally {
            ending.unlock();
        }
        IOException failure = new IOException(reason, cause);
        greeting.completeExceptionally(failure);
        pending.values().forEach(waiting -> waiting.answer().completeExceptionally(failure));
        pending.clear();
        expected.forEach(waiting -> waiting.completeExceptionally(failure));
        if (by == By.THEM) {
            log.debug("qmp={} ended reason={}", socket.getFileName(), reason);
            onClosed.forEach(this::tell);
        }
        try {
            channel.close();
        } catch (IOException e) {
            log.debug("qmp={} close failed", socket.getFileName(), e);
        }
    }

    /** Leaves the monitor free for another client; QEMU runs on. Idempotent. */
    @Override
    public void close() {
        end(By.US, "was closed by us", null);
    }
}
