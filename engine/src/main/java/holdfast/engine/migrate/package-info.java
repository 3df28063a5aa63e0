/**
 * Live migration in five phases, as two pure state machines and the sessions that perform what they
 * decide.
 *
 * <pre>
 * phase     source                                       destination
 * Begin     describes the domain    -- OPEN_MIGRATION --&gt;  looks whether it can be here
 * Prepare                           &lt;-- PREPARED --------  hypervisor started, stopped
 * Perform   disks, if not shared    == writes ==========&gt;  straight into its images
 *           rounds while it runs    == pages ===========&gt;  straight into its memory
 *           suspends, last pages    -- PERFORMED -------&gt;  all there, disks on stable storage
 * Finish                            &lt;-- FINISHED --------  state loaded, features up, one by one
 * Confirm   hands over              -- HAND_OVER -------&gt;  written down, then it runs
 *           ends its copy           &lt;-- TAKEN_OVER ------
 * </pre>
 *
 * <p>Until the source says HAND_OVER every failure ends with the guest running where it was. {@link
 * holdfast.engine.migrate.SourceState.AfterHandOver} is the type of what follows: from there
 * nothing this side decides lets its copy run again; only the destination's word that it gave up
 * does, which it writes down before it says it.
 */
package holdfast.engine.migrate;
