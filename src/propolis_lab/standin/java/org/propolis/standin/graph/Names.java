package org.propolis.standin.graph;

/** The names of vertices, edges and properties; those of TheHive where they are publicly known. */
public final class Names {
    public static final String ORGANISATION = "Organisation";
    public static final String USER = "User";
    public static final String CASE = "Case";
    public static final String ALERT = "Alert";
    public static final String TASK = "Task";
    public static final String LOG = "Log";
    public static final String OBSERVABLE = "Observable";
    public static final String ATTACHMENT = "Attachment";
    public static final String AUDIT = "Audit";
    public static final String[] VERTICES = {
        ORGANISATION, USER, CASE, ALERT, TASK, LOG, OBSERVABLE, ATTACHMENT, AUDIT
    };

    public static final String USER_ORGANISATION = "UserOrganisation";
    public static final String ORGANISATION_CASE = "OrganisationCase";
    public static final String ALERT_ORGANISATION = "AlertOrganisation";
    public static final String ALERT_CASE = "AlertCase";
    public static final String CASE_TASK = "CaseTask";
    public static final String TASK_LOG = "TaskLog";
    public static final String LOG_ATTACHMENT = "LogAttachment";
    public static final String CASE_ATTACHMENT = "CaseAttachment";
    public static final String CASE_OBSERVABLE = "CaseObservable";
    public static final String OBSERVABLE_ATTACHMENT = "ObservableAttachment";
    public static final String AUDITED = "Audited";
    public static final String AUDIT_USER = "AuditUser";
    public static final String[] EDGES = {
        USER_ORGANISATION, ORGANISATION_CASE, ALERT_ORGANISATION, ALERT_CASE, CASE_TASK, TASK_LOG, LOG_ATTACHMENT,
        CASE_ATTACHMENT, CASE_OBSERVABLE, OBSERVABLE_ATTACHMENT, AUDITED, AUDIT_USER
    };
    /** Edges that lead from something to the attachments it refers to. */
    public static final String[] ATTACHMENT_EDGES = {LOG_ATTACHMENT, CASE_ATTACHMENT, OBSERVABLE_ATTACHMENT};

    /**
     * The mixed index; with the index name {@code thehive} its Elasticsearch index is {@code thehive_global}. One that
     * was rebuilt has the next number at its end: {@code thehive_global1}.
     */
    public static final String MIXED_INDEX = "global";
    /** The name of the index backend in the settings: {@code index.search.…}. */
    public static final String INDEX_BACKEND = "search";

    private Names() {}
}
