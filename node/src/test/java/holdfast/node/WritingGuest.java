package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.DomainSource;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

/**
 * A guest that rewrites pages of its memory all the time, whole, so that they do not shrink on the
 * way, and checks other ones against their sums every second.
 *
 * @param serial what it says; both copies of a domain on one host write it
 */
record WritingGuest(DomainSource source, Path serial) {
    static final int MEMORY_MIB = 128;
    private static final Pattern CHECKED = Pattern.compile("CHECK (\\d+) ok");

    /**
     * @param pages that it rewrites, of 4,096 bytes
     */
    static WritingGuest in(TestHosts hosts, String name, int pages) throws IOException {
        Path boot = DiskGuest.bootFiles();
        Path serial = hosts.directory.resolve(name + ".serial");
        String yaml =
                """
                name: %s
                memory: %dMiB
                accelerator: tcg
                boot:
                  kernel: %s
                  initrd: %s
                  commandLine: console=ttyS0 panic=1 hf.check=on hf.writer=%d,1,4088
                serial: %s
                """
                        .formatted(
                                name,
                                MEMORY_MIB,
                                boot.resolve("vmlinuz"),
                                boot.resolve("initrd.gz"),
                                pages,
                                serial);
        return new WritingGuest(
                new DomainSource(hosts.directory.resolve(name + ".yaml").toString(), yaml), serial);
    }

    void awaitReady() throws Exception {
        await("HOLDFAST GUEST READY", said -> said.contains("HOLDFAST GUEST READY"));
    }

    /** Waits until it has found its memory whole twice more. */
    void awaitChecks() throws Exception {
        long from = checks(said());
        await("two more checks than " + from, said -> checks(said) >= from + 2);
    }

    private void await(String what, java.util.function.Predicate<String> enough) throws Exception {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(120);
        while (true) {
            String said = said();
            assertThat(said).doesNotContain("CHECK BAD").doesNotContain("GUEST hf.");
            if (enough.test(said)) {
                return;
            }
            if (System.nanoTime() - until > 0) {
                throw new AssertionError("the guest did not say " + what + ": " + said);
            }
            // A console is a file: there is no event to wait for.
            Thread.sleep(50);
        }
    }

    private static long checks(String said) {
        return CHECKED.matcher(said)
                .results()
                .mapToLong(found -> Long.parseLong(found.group(1)))
                .max()
                .orElse(0);
    }

    private String said() throws IOException {
        return Files.exists(serial)
                ? Files.readString(serial, StandardCharsets.ISO_8859_1).replace("\0", "")
                : "";
    }
}
