SELECT ARRAY[1, -2, 32767]::smallint[], ARRAY[]::smallint[], NULL::smallint[]
