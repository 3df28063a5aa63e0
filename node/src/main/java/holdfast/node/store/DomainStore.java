package holdfast.node.store;

import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;

import holdfast.node.api.DomainName;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BiFunction;
import java.util.stream.Stream;

/**
 * Remembers the domains of a node, one directory each. A file that cannot be understood is moved
 * aside and reported, never ignored; a write that fails leaves what was there. Calls may come from
 * many threads; those for one domain one at a time.
 *
 * @param <S> what describes a domain
 */
public final class DomainStore<S> {
    /** A file larger than this was not written by us. */
    static final int FILE_BYTES_MAX = 1 << 20;

    private static final String SPEC = "spec.json";
    private static final String RUNTIME = "runtime.json";
    private static final String WISH = "wish.json";
    private static final String PAUSED = "paused";
    private static final String NEW = ".new";
    private static final String REMOVED = ".removed-";

    private static final ObjectMapper JSON =
            JsonMapper.builder()
                    .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
                    .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
                    .build();

    private final Path directory;
    private final SpecCodec<S> codec;
    private final FileSteps steps;
    private final AtomicLong writes = new AtomicLong();

    /**
     * @param directory of {@link StateDirectory#domains}, existing
     */
    public DomainStore(Path directory, SpecCodec<S> codec) {
        this(directory, codec, FileSteps.REAL);
    }

    DomainStore(Path directory, SpecCodec<S> codec, FileSteps steps) {
        this.directory = directory;
        this.codec = codec;
        this.steps = steps;
    }

    /**
     * A domain as it was remembered.
     *
     * @param runtime empty where none was written, or the file was damaged
     * @param wish as {@code runtime}
     * @param wanted of its guest, by the operator
     */
    public record Stored<S>(
            String name,
            S spec,
            Optional<DomainRuntime> runtime,
            Optional<ProtectionWish> wish,
            Wanted wanted) {}

    /** What the operator wants of a guest. */
    public enum Wanted {
        /** That it runs. */
        RUNNING,
        /** That it stands still. */
        PAUSED
    }

    /**
     * A file that could not be understood.
     *
     * @param file where it was
     * @param movedTo where it is now
     */
    public record Damage(Path file, String reason, Path movedTo) {
        /** For the log and the operator. */
        public String text() {
            return file
                    + " is damaged ("
                    + reason
                    + ") and was moved to "
                    + movedTo
                    + "; the domain may still run: look for its QEMU and take it over with"
                    + " `holdfast attach`";
        }
    }

    /** Everything that was found. */
    public record Contents<S>(List<Stored<S>> domains, List<Damage> damages) {}

    /** Reads everything, and tidies up what a crash left half done. */
    public Contents<S> load() {
        List<Stored<S>> domains = new ArrayList<>();
        List<Damage> damages = new ArrayList<>();
        for (Path entry : entries(directory)) {
            String name = entry.getFileName().toString();
            if (name.startsWith(REMOVED)) {
                deleteTree(entry);
            } else if (DomainName.isLegal(name) && Files.isDirectory(entry)) {
                loadDomain(name, entry, damages).ifPresent(domains::add);
            }
        }
        return new Contents<>(List.copyOf(domains), List.copyOf(damages));
    }

    private Optional<Stored<S>> loadDomain(String name, Path home, List<Damage> damages) {
        for (Path file : entries(home)) {
            if (file.getFileName().toString().endsWith(NEW)) {
                deleteFile(file);
            }
        }
        Optional<S> spec = read(home.resolve(SPEC), codec::read, damages);
        Optional<DomainRuntime> runtime =
                read(home.resolve(RUNTIME), DomainStore::runtime, damages);
        Optional<ProtectionWish> wish =
                read(home.resolve(WISH), (_, text) -> ProtectionWish.read(text), damages);
        if (spec.isEmpty() && entries(home).isEmpty()) {
            // The crash came between making the directory and naming the first file.
            deleteFile(home);
        }
        Wanted wanted = Files.exists(home.resolve(PAUSED)) ? Wanted.PAUSED : Wanted.RUNNING;
        return spec.map(known -> new Stored<>(name, known, runtime, wish, wanted));
    }

    private static DomainRuntime runtime(String file, String text) {
        try {
            DomainRuntime runtime = JSON.readValue(text, DomainRuntime.class);
            if (runtime == null) {
                throw new IllegalArgumentException("it says null");
            }
            return runtime;
        } catch (JsonProcessingException e) {
            JsonLocation at = e.getLocation();
            String where =
                    at == null
                            ? ""
                            : "line " + at.getLineNr() + ", column " + at.getColumnNr() + ": ";
            throw new IllegalArgumentException(where + e.getOriginalMessage(), e);
        }
    }

    private <T> Optional<T> read(
            Path file, BiFunction<String, String, T> parse, List<Damage> damages) {
        if (!Files.exists(file)) {
            return Optional.empty();
        }
        try {
            if (Files.size(file) > FILE_BYTES_MAX) {
                damages.add(
                        moveAside(
                                file,
                                Files.size(file)
                                        + " bytes, at most "
                                        + FILE_BYTES_MAX
                                        + " expected"));
                return Optional.empty();
            }
            return Optional.of(parse.apply(file.toString(), Files.readString(file)));
        } catch (CharacterCodingException e) {
            damages.add(moveAside(file, "it is not UTF-8"));
        } catch (IOException e) {
            throw new StoreException(
                    "cannot read " + file, e, "make it readable and start the daemon again");
        } catch (RuntimeException e) {
            damages.add(moveAside(file, String.valueOf(e.getMessage())));
        }
        return Optional.empty();
    }

    private Damage moveAside(Path file, String reason) {
        for (int number = 1; ; number++) {
            Path aside = file.resolveSibling(file.getFileName() + ".damaged-" + number);
            if (Files.exists(aside)) {
                continue;
            }
            try {
                steps.rename(file, aside);
                return new Damage(file, reason, aside);
            } catch (IOException e) {
                throw new StoreException(
                        "cannot move the damaged file " + file + " aside",
                        e,
                        "move it away by hand");
            }
        }
    }

    /** Remembers what a domain is. */
    public void putSpec(String name, S spec) {
        put(name, SPEC, codec.write(spec));
    }

    /** Remembers where it runs. */
    public void putRuntime(String name, DomainRuntime runtime) {
        put(name, RUNTIME, json(runtime));
    }

    /**
     * Remembers that it is to stay protected. No effect where the domain is not known (any more).
     */
    public void putWish(String name, ProtectionWish wish) {
        if (Files.isDirectory(home(name))) {
            put(name, WISH, wish.write());
        }
    }

    /** Forgets that it was to stay protected. */
    public void removeWish(String name) {
        remove(name, WISH, "protects the domain again");
    }

    /**
     * Remembers whether its guest is to stand still. No effect where the domain is not known (any
     * more).
     */
    public void putWanted(String name, Wanted wanted) {
        switch (wanted) {
            case PAUSED -> {
                if (Files.isDirectory(home(name))) {
                    put(name, PAUSED, "by the operator\n");
                }
            }
            case RUNNING -> remove(name, PAUSED, "keeps the guest paused");
        }
    }

    private void remove(String name, String fileName, String otherwise) {
        Path home = home(name);
        Path file = home.resolve(fileName);
        if (!Files.exists(file)) {
            return;
        }
        try {
            Files.deleteIfExists(file);
            steps.forceDirectory(home);
        } catch (IOException e) {
            throw new StoreException(
                    "cannot remove " + file,
                    e,
                    "remove it by hand, or a restarted daemon " + otherwise);
        }
    }

    private static String json(DomainRuntime runtime) {
        try {
            return JSON.writerWithDefaultPrettyPrinter().writeValueAsString(runtime);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("a record that cannot be written", e);
        }
    }

    private void put(String name, String fileName, String content) {
        Path home = home(name);
        Path file = home.resolve(fileName);
        // Two threads may write the same at once: each beside the other.
        Path beside = home.resolve(fileName + "." + writes.incrementAndGet() + NEW);
        try {
            if (!Files.isDirectory(home)) {
                Files.createDirectory(home);
                steps.forceDirectory(directory);
            }
            steps.write(beside, (content + "\n").getBytes(StandardCharsets.UTF_8));
            steps.rename(beside, file);
            steps.forceDirectory(home);
        } catch (IOException e) {
            StoreException failure =
                    new StoreException(
                            "cannot write " + file,
                            e,
                            "the domain goes on, but a restarted daemon would not know this; make"
                                    + " room or fix the rights there");
            try {
                Files.deleteIfExists(beside);
            } catch (IOException second) {
                failure.addSuppressed(second);
            }
            throw failure;
        }
    }

    /** Forgets a domain. No effect where it is not known. */
    public void remove(String name) {
        Path home = home(name);
        if (!Files.exists(home)) {
            return;
        }
        Path removed = directory.resolve(REMOVED + name);
        deleteTree(removed);
        try {
            steps.rename(home, removed);
            steps.forceDirectory(directory);
        } catch (IOException e) {
            throw new StoreException(
                    "cannot remove " + home, e, "remove it by hand before the daemon starts again");
        }
        deleteTree(removed);
    }

    private Path home(String name) {
        if (!DomainName.isLegal(name)) {
            throw new IllegalArgumentException(
                    "domain name \"" + name + "\": allowed are " + DomainName.RULE);
        }
        return directory.resolve(name);
    }

    private static List<Path> entries(Path directory) {
        try (Stream<Path> entries = Files.list(directory)) {
            return entries.sorted().toList();
        } catch (IOException e) {
            throw new StoreException(
                    "cannot read the directory " + directory, e, "make it readable");
        }
    }

    /** Our directories hold files only. */
    private static void deleteTree(Path directory) {
        if (Files.isDirectory(directory)) {
            entries(directory).forEach(DomainStore::deleteFile);
            deleteFile(directory);
        }
    }

    private static void deleteFile(Path file) {
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            throw new StoreException("cannot remove " + file, e, "remove it by hand");
        }
    }
}
