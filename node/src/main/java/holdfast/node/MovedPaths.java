package holdfast.node;

import holdfast.node.api.ApiException;
import holdfast.qemu.launch.DomainSpec;

import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;

/** Where files of a domain's description are on this node. */
final class MovedPaths {
    private final Map<Path, Path> moved = new TreeMap<>();

    /**
     * @param paths absolute ones, old to new; the longest old one that fits is taken
     */
    MovedPaths(Map<String, String> paths) {
        paths.forEach((from, to) -> moved.put(absolute(from), absolute(to)));
    }

    private static Path absolute(String text) {
        try {
            Path path = Path.of(text).normalize();
            if (path.isAbsolute()) {
                return path;
            }
        } catch (InvalidPathException e) {
            throw new ApiException(ApiException.Kind.BAD_REQUEST, "no path: " + e.getMessage(), e);
        }
        throw ApiException.badRequest("path \"" + text + "\" is not absolute");
    }

    /**
     * The description with the paths of this node.
     *
     * @throws ApiException if one of the old paths is not in it
     */
    DomainSpec in(DomainSpec spec) {
        for (Path from : moved.keySet()) {
            if (spec.files().stream().noneMatch(file -> file.startsWith(from))) {
                throw ApiException.badRequest(
                        "path %s is not in the description of \"%s\", which names %s"
                                .formatted(from, spec.name(), spec.files()));
            }
        }
        return spec.withFiles(this::here);
    }

    private Path here(Path file) {
        for (Path from = file; from != null; from = from.getParent()) {
            Path to = moved.get(from);
            if (to != null) {
                return from.equals(file) ? to : to.resolve(from.relativize(file));
            }
        }
        return file;
    }
}
