package holdfast.bench;

import com.fasterxml.jackson.databind.ObjectMapper;

import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

import java.util.Locale;
import java.util.concurrent.Callable;

/** {@code ./bench codec}. */
@Command(
        name = "codec",
        description = "Encoding plus decoding PAGE_DATA, beside a plain copy of the same pages.",
        mixinStandardHelpOptions = true)
final class CodecCommand implements Callable<Integer> {
    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Override
    public Integer call() throws Exception {
        CodecBenchmark.Result result = CodecBenchmark.run();
        if (json) {
            System.out.println(new ObjectMapper().writeValueAsString(result));
        } else {
            System.out.printf(
                    Locale.ROOT,
                    "plain copy      %6.2f GB/s%nencode + decode %6.2f GB/s%nratio           %6.2f"
                            + " (wanted: at least 0.5)%n",
                    result.copyGbPerSecond(),
                    result.codecGbPerSecond(),
                    result.codecVsCopy());
        }
        return 0;
    }
}
