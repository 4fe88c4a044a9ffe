package org.propolis.standin;

/** The names of vertices, edges and properties; those of TheHive where they are publicly known. */
final class Names {
    static final String ORGANISATION = "Organisation";
    static final String USER = "User";
    static final String CASE = "Case";
    static final String ALERT = "Alert";
    static final String TASK = "Task";
    static final String LOG = "Log";
    static final String OBSERVABLE = "Observable";
    static final String ATTACHMENT = "Attachment";
    static final String AUDIT = "Audit";
    static final String[] VERTICES = {
        ORGANISATION, USER, CASE, ALERT, TASK, LOG, OBSERVABLE, ATTACHMENT, AUDIT
    };

    static final String USER_ORGANISATION = "UserOrganisation";
    static final String ORGANISATION_CASE = "OrganisationCase";
    static final String ALERT_ORGANISATION = "AlertOrganisation";
    static final String ALERT_CASE = "AlertCase";
    static final String CASE_TASK = "CaseTask";
    static final String TASK_LOG = "TaskLog";
    static final String LOG_ATTACHMENT = "LogAttachment";
    static final String CASE_ATTACHMENT = "CaseAttachment";
    static final String CASE_OBSERVABLE = "CaseObservable";
    static final String OBSERVABLE_ATTACHMENT = "ObservableAttachment";
    static final String AUDITED = "Audited";
    static final String AUDIT_USER = "AuditUser";
    static final String[] EDGES = {
        USER_ORGANISATION, ORGANISATION_CASE, ALERT_ORGANISATION, ALERT_CASE, CASE_TASK, TASK_LOG, LOG_ATTACHMENT,
        CASE_ATTACHMENT, CASE_OBSERVABLE, OBSERVABLE_ATTACHMENT, AUDITED, AUDIT_USER
    };
    /** Edges that lead from something to the attachments it refers to. */
    static final String[] ATTACHMENT_EDGES = {LOG_ATTACHMENT, CASE_ATTACHMENT, OBSERVABLE_ATTACHMENT};

    /**
     * The mixed index; with the index name {@code thehive} its Elasticsearch index is {@code thehive_global}. One that
     * was rebuilt has the next number at its end: {@code thehive_global1}.
     */
    static final String MIXED_INDEX = "global";
    /** The name of the index backend in the settings: {@code index.search.…}. */
    static final String INDEX_BACKEND = "search";

    private Names() {}
}
