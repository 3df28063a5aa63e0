package holdfast.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;

import java.io.IOException;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * The NBD server beside nbdkit's memory plug-in and qemu-nbd, each on a Unix socket of its own,
 * with fio's nbd engine as the client. Round by round every server takes its turn at every
 * workload, so that what else the machine does meets all of them.
 */
final class NbdBenchmark {
    static final int QUEUE_DEPTH = 16;

    private enum Workload {
        SEQUENTIAL_READ("sequential-read", "read", 1024 * 1024),
        SEQUENTIAL_WRITE("sequential-write", "write", 1024 * 1024),
        RANDOM_READ("random-read", "randread", 4096),
        RANDOM_WRITE("random-write", "randwrite", 4096);

        private final String text;
        private final String fio;
        private final int blockBytes;

        Workload(String text, String fio, int blockBytes) {
            this.text = text;
            this.fio = fio;
            this.blockBytes = blockBytes;
        }
    }

    private NbdBenchmark() {}

    static NbdResult run(int rounds, int seconds, long exportBytes, PrintStream progress)
            throws IOException, InterruptedException {
        double load = ManagementFactory.getOperatingSystemMXBean().getSystemLoadAverage();
        Map<Workload, Map<String, Samples>> measured = new HashMap<>();
        try (Cleanup cleanup = new Cleanup()) {
            Scratch scratch = cleanup.add(Scratch.create());
            List<NbdPeer> peers = new ArrayList<>();
            peers.add(cleanup.add(NbdPeer.holdfast(scratch.files(), exportBytes)));
            peers.add(cleanup.add(NbdPeer.nbdkit(scratch.files(), exportBytes)));
            peers.add(cleanup.add(NbdPeer.qemuNbd(scratch.files(), scratch.memory(), exportBytes)));
            for (NbdPeer peer : peers) {
                // Memory is taken at the first write, and code is compiled when it has run a while.
                progress.println("warming up " + peer.name() + " ...");
                fio(peer.socket(), Workload.SEQUENTIAL_WRITE, "--loops=1");
                for (Workload workload : Workload.values()) {
                    fio(peer.socket(), workload, "--time_based", "--runtime=2");
                }
            }
            for (int round = 0; round < rounds; round++) {
                for (Workload workload : Workload.values()) {
                    Map<String, Samples> samples =
                            measured.computeIfAbsent(workload, _ -> new HashMap<>());
                    for (int turn = 0; turn < peers.size(); turn++) {
                        NbdPeer peer = peers.get((round + turn) % peers.size());
                        double rate =
                                fio(
                                        peer.socket(),
                                        workload,
                                        "--time_based",
                                        "--runtime=" + seconds);
                        samples.computeIfAbsent(peer.name(), _ -> new Samples()).add(rate);
                        progress.printf(
                                "round %d %-16s %-9s %8.0f requests/s%n",
                                round + 1, workload.text, peer.name(), rate);
                    }
                }
            }
        }
        List<NbdResult.Row> rows = new ArrayList<>();
        for (Workload workload : Workload.values()) {
            rows.add(row(workload, measured.get(workload)));
        }
        return new NbdResult(
                "nbd",
                new NbdResult.Machine(
                        Runtime.getRuntime().availableProcessors(),
                        Runtime.version().toString(),
                        firstLine("nbdkit", "--version").replace("nbdkit ", ""),
                        firstLine("qemu-nbd", "--version").replace("qemu-nbd ", ""),
                        firstLine("fio", "--version"),
                        Math.round(load * 10) / 10.0),
                rounds,
                seconds,
                exportBytes,
                QUEUE_DEPTH,
                rows);
    }

    private static NbdResult.Row row(Workload workload, Map<String, Samples> samples) {
        double holdfast = samples.get("holdfast").median();
        double nbdkit = samples.get("nbdkit").median();
        double qemuNbd = samples.get("qemu-nbd").median();
        return new NbdResult.Row(
                workload.text,
                workload.blockBytes,
                rate(workload, holdfast),
                rate(workload, nbdkit),
                rate(workload, qemuNbd),
                Math.round(100 * holdfast / nbdkit) / 100.0,
                Math.round(100 * holdfast / qemuNbd) / 100.0);
    }

    private static NbdResult.Rate rate(Workload workload, double requestsPerSecond) {
        double mib = requestsPerSecond * workload.blockBytes / (1024 * 1024);
        return new NbdResult.Rate(Math.round(10 * mib) / 10.0, Math.round(requestsPerSecond));
    }

    /** Requests a second of one run. */
    private static double fio(Path socket, Workload workload, String... extent)
            throws IOException, InterruptedException {
        List<String> command =
                new ArrayList<>(
                        List.of(
                                "fio",
                                "--name=nbd",
                                "--ioengine=nbd",
                                "--uri=nbd+unix:///?socket=" + socket,
                                "--rw=" + workload.fio,
                                "--bs=" + workload.blockBytes,
                                "--iodepth=" + QUEUE_DEPTH,
                                "--output-format=json"));
        command.addAll(List.of(extent));
        Process process =
                new ProcessBuilder(command).directory(socket.getParent().toFile()).start();
        process.getOutputStream().close();
        String json = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        String complaint =
                new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
        if (!process.waitFor(60, TimeUnit.SECONDS) || process.exitValue() != 0) {
            process.destroyForcibly();
            throw new BenchException("fio failed on " + socket + ": " + complaint + json);
        }
        // fio may say something of its own before the object.
        JsonNode job =
                new ObjectMapper()
                        .readTree(json.substring(Math.max(0, json.indexOf('{'))))
                        .path("jobs")
                        .path(0);
        double rate =
                job.path("read").path("iops").asDouble()
                        + job.path("write").path("iops").asDouble();
        if (rate <= 0) {
            throw new BenchException("fio measured nothing on " + socket + ": " + json);
        }
        return rate;
    }

    private static String firstLine(String... command) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        process.waitFor();
        return said.lines().findFirst().orElse("unknown");
    }
}
