package holdfast.cli;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.ApiException;
import holdfast.node.api.AttachRequest;
import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.NodeInfo;
import holdfast.node.api.Progress;
import holdfast.node.api.RemusRequest;
import holdfast.node.api.RestoreRequest;
import holdfast.node.api.SaveRequest;
import holdfast.node.api.SaveResult;
import holdfast.node.config.NodeFile;
import holdfast.wire.xen.StreamDescription;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

import picocli.CommandLine;

import java.io.IOException;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;

/** docs/cli.md mentions everything there is. */
class DocumentationTest {
    private String document;

    @BeforeEach
    void read() throws IOException {
        document = Files.readString(Path.of("../docs/cli.md"));
    }

    @Test
    void every_command_and_option_is_in_the_document() {
        CommandLine all = Commands.forArguments(Surroundings.ofThisProcess(), List.of());
        Set<String> missing = new TreeSet<>();
        collect("", all, missing);
        assertThat(missing).isEmpty();
    }

    private void collect(String prefix, CommandLine line, Set<String> missing) {
        for (var command : line.getSubcommands().entrySet()) {
            String name = (prefix + " " + command.getKey()).strip();
            if (command.getValue().getSubcommands().isEmpty()
                    && !document.matches("(?s).*\\| `" + name + "[ `].*")) {
                missing.add(name);
            }
            command.getValue().getCommandSpec().options().stream()
                    .filter(option -> !option.hidden())
                    .filter(
                            option ->
                                    !document.matches("(?s).*`" + option.longestName() + "[ `].*")
                                            && !document.contains(" " + option.longestName() + " "))
                    .forEach(option -> missing.add(name + " " + option.longestName()));
            collect(name, command.getValue(), missing);
        }
    }

    @Test
    void every_field_and_constant_of_the_json_contracts_is_in_the_document() {
        Set<String> names = new TreeSet<>();
        for (Class<?> root :
                List.of(
                        DomainStatus.class,
                        NodeInfo.class,
                        SaveResult.class,
                        Progress.class,
                        DomainSource.class,
                        AttachRequest.class,
                        SaveRequest.class,
                        RestoreRequest.class,
                        RemusRequest.class,
                        MigrateRequest.class,
                        MigrateResult.class,
                        StreamVerifyCommand.Verdict.class,
                        StreamInspectCommand.Row.class,
                        SimulateCommand.Summary.class,
                        MigrateReceiveCommand.Summary.class,
                        StreamDescription.Totals.class)) {
            fields(root, names);
        }
        for (ApiException.Kind kind : ApiException.Kind.values()) {
            names.add(kind.text());
        }
        assertThat(names)
                .hasSizeGreaterThan(60)
                .allMatch(name -> document.contains("`" + name + "`"), "in docs/cli.md");
    }

    /**
     * Names of a record's fields, of those of the records in it, and the constants of its enums.
     */
    private static void fields(Class<?> type, Set<String> names) {
        if (type.isEnum()) {
            for (Object constant : type.getEnumConstants()) {
                names.add(((Enum<?>) constant).name().toLowerCase(Locale.ROOT).replace('_', '-'));
            }
            return;
        }
        if (!type.isRecord()) {
            return;
        }
        for (RecordComponent component : type.getRecordComponents()) {
            names.add(component.getName());
            fields(component.getType(), names);
            if (component.getGenericType() instanceof ParameterizedType list) {
                for (Type argument : list.getActualTypeArguments()) {
                    fields((Class<?>) argument, names);
                }
            }
        }
    }

    @Test
    void the_defaults_are_those_of_the_code() {
        assertThat(document)
                .contains(
                        "| `-i MS`, `--interval MS` | "
                                + RemusRequest.INTERVAL_MILLIS_DEFAULT
                                + " |",
                        "| `--heartbeat MS` | " + RemusRequest.HEARTBEAT_MILLIS_DEFAULT + " |",
                        "| `--deadline MS` | " + RemusRequest.DEADLINE_MILLIS_DEFAULT + " |",
                        "| `ramDirectory` | where guest memory lies | `"
                                + NodeFile.defaults().ramDirectory()
                                + "` |");
    }

    @Test
    void every_exit_status_is_in_the_document() {
        assertThat(document)
                .contains(
                        "| 0 | done |",
                        "| " + Main.FAILED + " | it was tried",
                        "| " + Main.WRONG + " | the request",
                        "| " + Main.MISSING + " | this machine");
    }
}
