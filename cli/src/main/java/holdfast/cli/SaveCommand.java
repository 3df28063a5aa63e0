package holdfast.cli;

import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.SaveRequest;
import holdfast.node.api.SaveResult;

import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code holdfast save}. */
@Command(
        name = "save",
        description =
                "Write a domain to a file while it runs, as a stream that `holdfast stream verify`"
                        + " accepts, and stop it for the rest; the domain ends unless told"
                        + " otherwise.",
        footer = {
            "",
            "Example:",
            "  holdfast save web /var/tmp/web.save && holdfast restore /var/tmp/web.save"
        })
final class SaveCommand extends NodeCommand {
    @Parameters(index = "0", paramLabel = "DOMAIN", description = "The domain's name.")
    private String domain;

    @Parameters(
            index = "1",
            arity = "0..1",
            paramLabel = "FILE",
            description =
                    "The file to write; one that exists is replaced when the new one is whole.")
    private String file;

    @Option(
            names = "--cancel",
            description = "End the domain's running save; the domain goes on, FILE is not made.")
    private boolean cancel;

    @ArgGroup private After after = new After();

    /** At most one of them. */
    static final class After {
        @Option(
                names = "--leave-running",
                description =
                        "The domain goes on; the file fits only a disk copied at the same moment.")
        boolean running;

        @Option(names = "--leave-paused", description = "The domain stays, suspended.")
        boolean paused;

        SaveRequest.After choice() {
            return running
                    ? SaveRequest.After.CONTINUE
                    : paused ? SaveRequest.After.PAUSE : SaveRequest.After.END;
        }
    }

    SaveCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    void run() {
        if (cancel) {
            if (file != null) {
                throw ApiException.badRequest("--cancel names the domain alone, not a file");
            }
            DomainStatus status = holdfast.node().cancelSave(domain);
            answer(status, domain + " is not saved and is " + status.state().text());
            return;
        }
        if (file == null) {
            throw ApiException.badRequest("where to? holdfast save " + domain + " FILE");
        }
        SaveRequest request =
                new SaveRequest(
                        domain, holdfast.surroundings.path(file).toString(), after.choice());
        SaveResult result;
        try (ProgressView view =
                new ProgressView(
                        holdfast.surroundings,
                        "the save goes on; `holdfast save --cancel " + domain + "` ends it")) {
            result = holdfast.node().save(request, view);
        }
        answer(
                result,
                result.domain()
                        + " is saved: "
                        + result.file()
                        + ", "
                        + Figures.bytes(result.bytes())
                        + ", guest stopped for "
                        + result.pausedMillis()
                        + " ms");
    }
}
