/* permit.c: may they? (README "Roles and scopes"). After it is known who asks, and before anything is looked at:
 *
 *   404  a project that is not there, or that the user does not see: both with the same words, so that nobody learns which
 *   403  a project that the user sees and the token is not for
 *   403  the route's scope is missing, in the user's role or in the token's list: it is named
 *   403  the user's own account (HTTP_USER), for a token that is cut: who finds one must not end sessions or set a password
 *   403  what belongs to no project, but to the installation, for who is kept to some projects
 *
 * Lists over several projects show those that one sees: http_bind_reach(). */
#include "internal.h"

enum { ID_SHOWN = 40 }; /* of one that cannot be an id */

bool is_of_project(const struct http_call *call)
{
    return str_starts(str_from(call->route->path), STR("/api/projects/{project}"));
}

bool http_may(const struct http_call *call, enum scope scope)
{
    return call->user.scopes & scope_bit(scope);
}

bool http_is_cut(const struct http_call *call)
{
    return call->user.token.has_scopes || call->user.token.projects.p;
}

void http_refuse_scope(struct http_call *call, enum scope scope)
{
    bool by_role = role_scopes(call->user.role) & scope_bit(scope);
    http_answer_error(call, -ERR_FORBIDDEN,
                      by_role ? arena_printf(&call->arena, "this needs the scope %s, which the token has not", scope_name(scope))
                              : arena_printf(&call->arena, "this needs the scope %s, which the role %s does not give", scope_name(scope),
                                             role_name(call->user.role)));
}

void http_no_project(struct http_call *call, struct str id)
{
    id = str_take(id, ID_SHOWN);
    http_answer_error(call, -ERR_NOT_FOUND, arena_printf(&call->arena, "Project with id %.*s not found", STR_ARG(id)));
}

void http_bind_reach(const struct http_call *call, struct db_query *q)
{
    if (call->user.sees_all)
        db_bind_null(q);
    else
        db_bind_i32(q, (int32_t)call->user.id);
    if (call->user.token.projects.p)
        db_bind_text(q, call->user.token.projects);
    else
        db_bind_null(q);
}

/* Of a route that is below no project. */
static bool permit_installation(struct http_call *call, enum scope scope)
{
    if (call->user.token.projects.p && !scope_is_open(scope, SCOPE_KEPT_TOKEN))
        http_answer_error(call, -ERR_FORBIDDEN, STR("this belongs to the whole installation, and the token is for some projects only"));
    else if (!call->user.sees_all && !scope_is_open(scope, SCOPE_KEPT_USER))
        http_answer_error(call, -ERR_FORBIDDEN, STR("this belongs to the whole installation: it needs a user who sees all projects"));
    else
        return true;
    return false;
}

bool permit(struct http_call *call, enum permit_project project)
{
    enum http_access access = call->route->access;
    if (project == PROJECT_UNSEEN) {
        http_no_project(call, call->params[0]);
        return false;
    }
    if (project == PROJECT_NOT_THE_TOKENS) {
        struct str id = str_take(call->params[0], ID_SHOWN);
        http_answer_error(call, -ERR_FORBIDDEN, arena_printf(&call->arena, "the token is not for project %.*s", STR_ARG(id)));
        return false;
    }
    if (access == HTTP_USER && http_is_cut(call)) {
        http_answer_error(call, -ERR_FORBIDDEN, STR("this is for who has logged in, or a token without scopes and project_ids"));
        return false;
    }
    if (access <= HTTP_ANY_USER)
        return true;
    enum scope scope = (enum scope)(access - HTTP_ANY_USER - 1);
    if (!http_may(call, scope)) {
        http_refuse_scope(call, scope);
        return false;
    }
    return project == PROJECT_SEEN || permit_installation(call, scope);
}
