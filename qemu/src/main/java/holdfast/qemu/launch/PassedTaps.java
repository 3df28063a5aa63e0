package holdfast.qemu.launch;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Taps that were opened by whoever started a QEMU, and passed to it as descriptors, as management
 * systems do. The descriptor means nothing elsewhere; the tap has a name, by which a copy can have
 * one, too.
 */
final class PassedTaps {
    private static final Set<String> NETWORKS = Set.of("-netdev", "--netdev");
    private static final Pattern DESCRIPTOR = Pattern.compile("\\d{1,9}");

    /**
     * Of a tap's descriptor the kernel tells the interface.
     *
     * @spec https://docs.kernel.org/filesystems/proc.html /proc/PID/fdinfo
     */
    private static final String INTERFACE = "iff:";

    private PassedTaps() {}

    /**
     * The same words with names in place of such descriptors, one queue each; others stay, and are
     * refused by name.
     *
     * @param process its directory in {@code /proc}
     * @throws holdfast.engine.HypervisorException if a tap is none that a copy can have
     */
    static List<String> named(Path process, List<String> words) throws IOException {
        List<String> named = new ArrayList<>(words);
        for (int i = 1; i < words.size(); i++) {
            if (NETWORKS.contains(words.get(i - 1))) {
                named.set(i, named(process, words.get(i)));
            }
        }
        return named;
    }

    private static String named(Path process, String netdev) throws IOException {
        ForeignOption option = new ForeignOption("netdev", netdev);
        QemuOptions options = option.parsed("type");
        Optional<String> descriptor =
                options.get("fd")
                        .filter(_ -> options.get("type").filter("tap"::equals).isPresent())
                        .filter(fd -> DESCRIPTOR.matcher(fd).matches());
        Optional<String> tap =
                descriptor.isEmpty()
                        ? Optional.empty()
                        : interfaceOf(process.resolve("fdinfo").resolve(descriptor.get()));
        if (tap.isEmpty()) {
            return netdev;
        }
        if (!Taps.carriesVirtioHeaders(tap.get())) {
            throw option.refused(
                    "its tap "
                            + tap.get()
                            + " carries no virtio headers, which a copy's would: give the guest a"
                            + " virtio NIC");
        }
        return options.without("fd"::equals).with("ifname", tap.get()).text();
    }

    private static Optional<String> interfaceOf(Path descriptor) throws IOException {
        try (Stream<String> lines = Files.lines(descriptor)) {
            return lines.filter(line -> line.startsWith(INTERFACE))
                    .map(line -> line.substring(INTERFACE.length()).strip())
                    .findFirst();
        } catch (NoSuchFileException closed) {
            return Optional.empty();
        }
    }
}
