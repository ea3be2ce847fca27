SELECT current_setting('TimeZone'), current_setting('client_encoding'), current_setting('statement_timeout'),
       current_setting('application_name'), current_setting('search_path')
