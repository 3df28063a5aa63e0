package holdfast.cli;

import holdfast.node.api.ApiException;
import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus;

import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;

/** {@code holdfast create}. */
@Command(
        name = "create",
        description = "Start a domain from its description (YAML; docs/cli.md has every key).",
        footer = {"", "Example:", "  holdfast create examples/redis.yaml"})
final class CreateCommand extends NodeCommand {
    @Parameters(paramLabel = "FILE", description = "The description.")
    private String file;

    CreateCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    void run() {
        Path path = holdfast.surroundings.path(file);
        DomainStatus status = holdfast.node().create(new DomainSource(path.toString(), text(path)));
        answer(
                status,
                status.name()
                        + " is "
                        + status.state().text()
                        + " on "
                        + status.node()
                        + ", process "
                        + status.pid());
        if (status.remusBackup() != null) {
            requireProtected(status);
        }
    }

    /** It runs, but not as its description wants it: a script must not take that for success. */
    private void requireProtected(DomainStatus status) {
        if (status.protection() == null || status.protection().protectedSince() == null) {
            throw new ApiException(
                    ApiException.Kind.FAILED,
                    status.name()
                            + " is not protected, though remus_backup names "
                            + status.remusBackup()
                            + "; "
                            + Figures.lastEvent(status),
                    "holdfast remus " + status.name() + " " + status.remusBackup(),
                    null);
        }
        if (!json()) {
            say(RemusCommand.sentence(status));
        }
    }

    private static String text(Path path) {
        try {
            if (Files.size(path) > DomainSource.YAML_CHARS_MAX) {
                throw ApiException.badRequest(
                        path
                                + ": "
                                + Files.size(path)
                                + " bytes, allowed at most "
                                + DomainSource.YAML_CHARS_MAX);
            }
            return Files.readString(path);
        } catch (NoSuchFileException e) {
            throw new ApiException(
                    ApiException.Kind.BAD_REQUEST, path + ": there is no such file", e);
        } catch (CharacterCodingException e) {
            throw new ApiException(
                    ApiException.Kind.BAD_REQUEST, path + ": this is not UTF-8 text", e);
        } catch (IOException e) {
            throw new ApiException(
                    ApiException.Kind.BAD_REQUEST, path + ": cannot read it: " + e.getMessage(), e);
        }
    }
}
