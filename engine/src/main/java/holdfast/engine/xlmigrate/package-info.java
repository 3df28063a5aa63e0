/**
 * The receiver's half of {@code xl migrate} and {@code xl remus}, for a receiver that keeps what
 * arrives and never runs it.
 *
 * <pre>
 *   migrate                                          remus
 *   receiver               sender                    receiver               sender
 *    Banner ──────────────►                           Banner ──────────────►
 *           ◄────────────── stream to END                    ◄────────────── stream, checkpoint 1
 *    image forced to disk                                    ◄────────────── checkpoint 2 ...
 *    DomainReceived ──────►                                  ◄── end of file
 *           ◄────────────── DomainIsYours             image cut behind the last checkpoint
 *    UnpauseResult(1) ────►                           image gets its name
 *    DomainIsYoursAgain ──► resumes its copy
 *    image gets its name
 * </pre>
 *
 * <p>Two rules make it safe for the guest. Nothing that can fail stands between the sender's
 * permission and the answer: the image is on the disk before {@code DomainReceived}. And every
 * answer after that says that the copy here does not run, so that at most one copy ever does.
 */
package holdfast.engine.xlmigrate;
