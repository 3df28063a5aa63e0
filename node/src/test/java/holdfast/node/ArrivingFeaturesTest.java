package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.migrate.Feature;
import holdfast.engine.migrate.FeatureReport;
import holdfast.node.config.DomainFile;
import holdfast.qemu.launch.DomainSpec;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;

class ArrivingFeaturesTest {
    private static final Duration LIMIT = Duration.ofSeconds(10);

    @TempDir private Path directory;
    private Path said;
    private HookLog log;

    @BeforeEach
    void hooks() throws IOException {
        said = directory.resolve("said");
        log = new HookLog(directory.resolve("log"));
        for (String name : List.of("port-profile", "first")) {
            Path hook = directory.resolve(name);
            Files.writeString(hook, "#!/bin/sh\necho $1 %s >>%s\n".formatted(name, said));
            Files.setPosixFilePermissions(hook, PosixFilePermissions.fromString("rwxr-xr-x"));
        }
    }

    private ArrivingFeatures features() {
        DomainSpec spec = DomainFile.parse("g.yaml", "{name: g, memory: 16M}");
        return new ArrivingFeatures(
                spec,
                List.of(),
                "migration",
                "a",
                "b",
                new ArrivingFeatures.HookPlace(directory, LIMIT),
                log);
    }

    private static FeatureReport up(ArrivingFeatures features, String name) {
        return features.bringUp(new Feature(name, Feature.Necessity.BEST_EFFORT), null);
    }

    @Test
    void a_migration_that_was_given_up_begins_no_hook() throws Exception {
        ArrivingFeatures features = features();
        assertThat(up(features, Feature.NETWORK).result()).isEqualTo(FeatureReport.Result.UP);
        features.giveUp();
        for (String name : List.of(Feature.NETWORK, Feature.HOOK_PREFIX + "first")) {
            FeatureReport report = up(features, name);
            assertThat(report.result()).as(name).isEqualTo(FeatureReport.Result.FAILED);
            assertThat(report.detail()).contains("not begun").contains("given up");
        }
        assertThat(said).hasContent("init port-profile\n");
        assertThat(log.left()).containsExactly(new HookLog.Left("port-profile", HookLog.Stage.UP));
    }
}
